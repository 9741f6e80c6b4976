# SPDX-License-Identifier: GPL-2.0
# The front of the build, with Kbuild's targets. cargo compiles, `ld` links (scripts/build.py); Kconfig files are read by
# kconfiglib (scripts/kconfig.py). `make help` says what there is.
#
#   V=1     show the commands        O=dir  put all output in dir        -jN  jobs

MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := all
# Debian's Python sees Debian's modules (kconfiglib); another one first in PATH may not.
PYTHON3 ?= $(firstword $(wildcard /usr/bin/python3) python3)

export srctree := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
export objtree := $(abspath $(or $(O),$(KBUILD_OUTPUT),$(srctree)))
export KBUILD_OUTPUT := $(objtree)
export V PYTHON3
# What scripts/deps.py could not install beside other packages.
export PATH := $(objtree)/build/tools/bin:$(PATH)
ifneq ($(wildcard $(objtree)),$(objtree))
$(shell mkdir -p $(objtree))
endif

# Cargo takes part in make's job control: the recipes that build start with "+".
script = +@$(PYTHON3) $(srctree)/scripts/$(1)
config-targets := defconfig tinyconfig menuconfig oldconfig olddefconfig savedefconfig

.PHONY: all vmlinux bzImage modules modules_install initramfs rootfs run check check-full kunit test bench bench-docs clippy rustfmt rustfmtcheck rustdoc \
	rust-analyzer crate-graph clean mrproper help deps-build deps-run deps-check deps-clippy deps-rootfs syncconfig $(config-targets)

all: vmlinux bzImage modules

# Everything that compiles first makes sure of the tools, then of the configuration.
deps-build deps-run deps-check deps-clippy deps-rootfs:
	$(call script,deps.py $(patsubst deps-%,%,$@))

syncconfig: deps-build
	$(call script,kconfig.py sync)

$(config-targets): deps-build
	$(call script,kconfig.py $@)

# `make debug.config`: merges kernel/configs/debug.config into .config.
%.config: deps-build
	$(call script,kconfig.py merge $@)

vmlinux: syncconfig
	$(call script,build.py vmlinux)

bzImage: vmlinux
	$(call script,bzimage.py)

# With M=directory: the modules of that directory, against the kernel that is built.
ifdef M
export M
modules:
	$(call script,modules.py build)
else
modules: vmlinux
	$(call script,modules.py build)
endif

modules_install:
	$(call script,modules.py install)

initramfs: deps-run syncconfig
	+@$(PYTHON3) $(srctree)/usr/build.py

# With ROOTFS=debian: from a disk with Debian's packages, in place of the initramfs.
export ROOTFS SHARE
run: deps-run $(if $(ROOTFS),deps-rootfs) bzImage $(if $(ROOTFS),rootfs,initramfs)
	@$(PYTHON3) $(srctree)/scripts/run.py $(RUN_ARGS)

rootfs: deps-rootfs
	$(call script,rootfs.py $(or $(ROOTFS),debian))

test: syncconfig
	$(call script,build.py test -q)

kunit: deps-run
	$(call script,kunit.py $(FILTER))

check: deps-check
	$(call script,check.py)

check-full: deps-check
	$(call script,check.py --full)

bench: deps-run bzImage modules initramfs
	$(call script,bench.py)

bench-docs: deps-run bzImage modules initramfs
	$(call script,bench.py --write $(srctree)/Documentation/bench.md $(srctree)/README.md)

clippy: deps-clippy syncconfig
	$(call script,build.py clippy)

rustfmt rustfmtcheck:
	$(call script,rustfmt.py $@)

rustdoc: syncconfig
	$(call script,build.py doc)

rust-analyzer: syncconfig
	$(call script,build.py rust-analyzer)

crate-graph: deps-build
	$(call script,check-levels --graph)

clean:
	@rm -rf $(objtree)/build $(objtree)/vmlinux $(objtree)/vmlinux.debug $(objtree)/arch/x86/boot/bzImage \
		$(objtree)/usr/initramfs.cpio $(objtree)/usr/initramfs.cpio.gz

mrproper: clean
	@rm -rf $(objtree)/include $(objtree)/.config $(objtree)/.config.old $(objtree)/defconfig $(objtree)/rust-analyzer.json

help:
	@echo 'Configuration (result: .config):'
	@echo '  defconfig       the default            tinyconfig      the smallest'
	@echo '  menuconfig      ask in menus           oldconfig       ask for new options'
	@echo '  olddefconfig    defaults for new ones  savedefconfig   write the difference to the default'
	@echo '  debug.config    turn the checks on (any file of kernel/configs)'
	@echo 'Building:'
	@echo '  all             vmlinux, bzImage and modules (the default)'
	@echo '  vmlinux         the kernel as an ELF file with a PVH entry; symbols in vmlinux.debug'
	@echo '  bzImage         the kernel for boot loaders and UEFI: arch/x86/boot/bzImage'
	@echo '  modules         loadable modules (M=dir: those of a directory outside the tree)'
	@echo '  modules_install copies them to $$INSTALL_MOD_PATH/lib/modules and runs depmod'
	@echo '  initramfs       usr/initramfs.cpio.gz, made of Debian'"'"'s static busybox'
	@echo 'Running:'
	@echo '  run             boot it in QEMU to a shell (RUN_KVM=1, RUN_ARGS="-smp 4"); Ctrl-A X ends QEMU'
	@echo '  run ROOTFS=debian   from a disk with Debian: init, udev, a login (root, no password)'
	@echo '  run SHARE=dir       with a directory of this machine at /mnt/share'
	@echo '  rootfs          make that disk, build/rootfs/debian.img'
	@echo '  bench           instructions per operation, beside Debian'"'"'s kernel'
	@echo '  bench-docs      the same, and puts the table into README.md and Documentation/bench.md'
	@echo 'Testing:'
	@echo '  check           everything below and the guest tests; the last line has the counts'
	@echo '  check-full      check, and the long tests'
	@echo '  kunit           tests inside the kernel (FILTER=suite.test)'
	@echo '  test            tests of the pure crates on this machine'
	@echo 'Code:'
	@echo '  clippy rustfmt rustfmtcheck rustdoc rust-analyzer'
	@echo '  crate-graph     the crates and their levels, as Documentation/architecture.md has them'
	@echo 'Cleaning:'
	@echo '  clean           remove what was built      mrproper  and the configuration'
	@echo 'V=1 shows commands, O=dir puts all output there, -jN sets the number of jobs.'
