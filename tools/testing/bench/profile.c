// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plug-in that counts the guest's instructions by translation block, between the marks that the bench program
 * sets round what it measures (see src/sys.rs). At the end it writes "ADDRESS SIZE INSTRUCTIONS TIMES" a block.
 *
 * Debian packages no qemu-plugin.h; what is used of QEMU's interface (version 1) is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned int, void *),
					  enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned int, void *),
					    enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct block {
	struct block *next;
	uint64_t at, insns, times;
	uint32_t size;
};

static struct block *blocks[1 << 16];
static bool on;
static char path[512];

/* `nopl MARK(%rax)`: the bench program's marks. */
static const uint8_t start_mark[] = { 0x0f, 0x1f, 0x80, 'R', 'B', 'E', 'G' };
static const uint8_t end_mark[] = { 0x0f, 0x1f, 0x80, 'R', 'E', 'N', 'D' };

static struct block *block(uint64_t at, uint32_t insns, uint32_t size)
{
	struct block **slot = &blocks[(at ^ at >> 16) & 0xffff], *b;

	for (b = *slot; b; b = b->next)
		if (b->at == at && b->insns == insns)
			return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->at = at;
	b->insns = insns;
	b->size = size;
	b->next = *slot;
	*slot = b;
	return b;
}

static void executed(unsigned int cpu, void *data)
{
	struct block *b = data;

	(void)cpu;
	if (on)
		b->times++;
}

static void marked(unsigned int cpu, void *data)
{
	(void)cpu;
	on = data != NULL;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;
	uint64_t at = qemu_plugin_tb_vaddr(tb);
	struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
	uint32_t size = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) - at;

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block(at, n, size));
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const void *data = qemu_plugin_insn_data(insn);

		if (qemu_plugin_insn_size(insn) != sizeof(start_mark))
			continue;
		if (!memcmp(data, start_mark, sizeof(start_mark)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS, &on);
		else if (!memcmp(data, end_mark, sizeof(end_mark)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

static void finish(qemu_plugin_id_t id, void *data)
{
	FILE *f = fopen(path, "w");
	size_t i;

	(void)id;
	(void)data;
	if (!f)
		return;
	for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		for (struct block *b = blocks[i]; b; b = b->next)
			if (b->times)
				fprintf(f, "%" PRIx64 " %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", b->at, b->size, b->insns,
					b->times);
	fclose(f);
}

/* Arguments: out=FILE; all=on counts from the start, for the boot. */
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
								char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			snprintf(path, sizeof(path), "%s", argv[i] + 4);
		else if (!strcmp(argv[i], "all=on"))
			on = true;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
