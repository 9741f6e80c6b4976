// SPDX-License-Identifier: GPL-2.0
// The program that debugging.py's tools look at: `victim WHAT`.

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct point {
	int x, y;
	const char *name;
};

int watched;
static double ratio = 0.75;
static volatile int stop_now;

__attribute__((noinline)) int add(int a, int b)
{
	int sum = a + b;

	watched = sum;
	return sum;
}

__attribute__((noinline)) int recurse(int n)
{
	return n == 0 ? add(1, 2) : recurse(n - 1) + 1;
}

static void *thread(void *arg)
{
	int own = 10 + (int)(long)arg;

	while (!stop_now)
		usleep(1000);
	return (void *)(long)add(own, 0);
}

static void handler(int signal)
{
	watched = -signal;
}

static void crash(struct point *p)
{
	p->x = 1;
	*(volatile int *)0 = 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "add";
	struct point p = { 3, 4, "here" };

	setvbuf(stdout, NULL, _IONBF, 0);
	if (!strcmp(what, "add")) {
		printf("sum %d\n", recurse(3) + p.x + (int)(ratio * 4));
	} else if (!strcmp(what, "threads")) {
		pthread_t t[2];

		for (long i = 0; i < 2; i++)
			pthread_create(&t[i], NULL, thread, (void *)i);
		usleep(20000);
		stop_now = 1;
		for (int i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
		printf("threads done\n");
	} else if (!strcmp(what, "fork")) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			_exit(add(3, 4));
		waitpid(pid, &status, 0);
		printf("child %d\n", WEXITSTATUS(status));
	} else if (!strcmp(what, "signal")) {
		signal(SIGUSR1, handler);
		raise(SIGUSR1);
		printf("handled %d\n", watched);
	} else if (!strcmp(what, "crash")) {
		crash(&p);
	} else if (!strcmp(what, "crash-threads")) {
		pthread_t t[2];

		for (long i = 0; i < 2; i++)
			pthread_create(&t[i], NULL, thread, (void *)i);
		usleep(20000);
		ratio = 0.5;
		abort();
	} else if (!strcmp(what, "exec")) {
		execl("/usr/bin/victim", "victim", "add", NULL);
	} else if (!strcmp(what, "sleep")) {
		sleep(100);
	}
	return 0;
}
