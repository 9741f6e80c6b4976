// SPDX-License-Identifier: GPL-2.0
//! The module loader, and the modules that are part of the image: each gets its parameters from the command line
//! (`name.parameter=value`) and is started, in the order of the link.

// Part of the image for the sake of loadable modules, or because the configuration says `y`: nothing calls them by name.
#[cfg(feature = "CONFIG_SATA_AHCI")]
use ahci as _;
#[cfg(feature = "CONFIG_BLK_DEV_RAM")]
use brd as _;
#[cfg(feature = "CONFIG_EXT4_FS")]
use ext4 as _;
#[cfg(feature = "CONFIG_HPET")]
use hpet as _;
#[cfg(feature = "CONFIG_SERIO_I8042")]
use i8042 as _;
#[cfg(feature = "CONFIG_ISO9660_FS")]
use isofs as _;
use kernel as _;
#[cfg(feature = "CONFIG_KUNIT")]
use kernel_doctests as _;
#[cfg(feature = "CONFIG_MQ_IOSCHED_KYBER")]
use kyber_iosched as _;
#[cfg(feature = "CONFIG_BLK_DEV_LOOP")]
use loop_dev as _;
#[cfg(feature = "CONFIG_BLK_DEV_NULL_BLK")]
use null_blk as _;
#[cfg(feature = "CONFIG_BLK_DEV_NVME")]
use nvme as _;
#[cfg(feature = "CONFIG_OVERLAY_FS")]
use overlay as _;
#[cfg(feature = "CONFIG_NET_9P")]
use p9net as _;
#[cfg(feature = "CONFIG_NET_9P_VIRTIO")]
use p9net_virtio as _;
#[cfg(feature = "CONFIG_HW_RANDOM")]
use rng_core as _;
#[cfg(feature = "CONFIG_RTC_DRV_CMOS")]
use rtc_cmos as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_MAILBOX")]
use rust_mailbox as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_MINIMAL")]
use rust_minimal as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_PRINT")]
use rust_print as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_SHARED")]
use rust_shared as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_SHARED_USER")]
use rust_shared_user as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_TESTDEV")]
use rust_testdev as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_TIMER")]
use rust_timer as _;
#[cfg(feature = "CONFIG_SCSI")]
use scsi_mod as _;
#[cfg(feature = "CONFIG_BLK_DEV_SD")]
use sd_mod as _;
#[cfg(feature = "CONFIG_SQUASHFS")]
use squashfs as _;
#[cfg(feature = "CONFIG_BLK_DEV_SR")]
use sr_mod as _;
#[cfg(feature = "CONFIG_9P_FS")]
use v9fs as _;
#[cfg(feature = "CONFIG_VFAT_FS")]
use vfat as _;
#[cfg(feature = "CONFIG_VIRTIO")]
use virtio as _;
#[cfg(feature = "CONFIG_VIRTIO_BLK")]
use virtio_blk as _;
#[cfg(feature = "CONFIG_VIRTIO_CONSOLE")]
use virtio_console as _;
#[cfg(feature = "CONFIG_VIRTIO_MMIO")]
use virtio_mmio as _;
#[cfg(feature = "CONFIG_VIRTIO_PCI")]
use virtio_pci as _;
#[cfg(feature = "CONFIG_HW_RANDOM_VIRTIO")]
use virtio_rng as _;
#[cfg(feature = "CONFIG_SCSI_VIRTIO")]
use virtio_scsi as _;

use errno::Result;
use kernel::built_in::BuiltIn;
use klog::{pr_err, pr_warn};
#[cfg(feature = "CONFIG_SAMPLE_RUST_CHRDEV")]
use rust_chrdev as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_CONFIG")]
use rust_config as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_KNOBS")]
use rust_knobs as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_PARAMS")]
use rust_params as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_PLATDEV")]
use rust_platdev as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_SUITE")]
use rust_suite as _;
#[cfg(feature = "CONFIG_SAMPLE_RUST_WORKER")]
use rust_worker as _;
use x86_head::BootInfo;

/// Starts the loader, then the modules.
pub(crate) fn start(info: &'static BootInfo) -> Result {
    #[cfg(feature = "CONFIG_MODULES")]
    {
        module::init()?;
        if let Some(names) = crate::params::line(info).value("module_blacklist") {
            module::set_blacklist(names)?;
        }
        if let Some(word) = crate::params::line(info).params().find(|word| word.is("module.sig_enforce"))
            && module::set_enforced(word.value).is_err()
        {
            pr_err!("`{}' invalid for parameter `module.sig_enforce'", crate::params::Shown(word.text()));
        }
        if let Some(word) = crate::params::line(info).params().find(|word| word.is("module.async_probe"))
            && module::set_async_probe(word.value).is_err()
        {
            pr_err!("`{}' invalid for parameter `module.async_probe'", crate::params::Shown(word.text()));
        }
    }
    if let Some(names) = crate::params::line(info).value("driver_async_probe") {
        device::set_async_drivers(names)?;
    }
    for entry in kernel::built_in::all() {
        parameters(info, entry);
        match (entry.init)() {
            0.. => {}
            error => pr_warn!("initcall {} returned with error code {error}", entry.name),
        }
        if let Err(error) = crate::built_in::show(entry) {
            pr_warn!("{}: no files of its parameters ({error})", entry.name);
        }
    }
    Ok(())
}

/// Whether the command line's word `name` is for a module (`module.parameter`).
pub(crate) fn is_parameter(name: &[u8]) -> bool {
    name.contains(&b'.')
}

fn parameters(info: &'static BootInfo, entry: &BuiltIn) {
    for word in crate::params::line(info).params() {
        let Some(name) = word.name.strip_prefix(entry.name.as_bytes()).and_then(|rest| rest.strip_prefix(b".")) else {
            continue;
        };
        let Some(param) = entry.params.iter().find(|param| cmdline::parameq(param.name.as_bytes(), name)) else {
            continue;
        };
        if let Err(error) = param.value.set(word.value) {
            pr_err!(
                "{}: `{}' invalid for parameter `{}' ({error})",
                entry.name,
                crate::params::Shown(word.text()),
                param.name
            );
        }
    }
}
