// SPDX-License-Identifier: GPL-2.0
//! The boot sector, the information sector of FAT32.

use crate::link::Width;
use crate::{byte, le16, le32};

/// Where things are on a file system.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Bits of an entry of the table.
    pub width: Width,
    /// Bytes of a sector: 512 to 4096.
    pub sector: u32,
    /// Sectors of a cluster.
    pub cluster_sectors: u32,
    /// First sector of the first table.
    pub fat_start: u32,
    /// Tables.
    pub fats: u32,
    /// Sectors of a table.
    pub fat_sectors: u32,
    /// First sector of the root directory that is no chain (12 and 16 bits).
    pub root_start: u32,
    /// Its entries.
    pub root_entries: u32,
    /// First cluster of the root directory (32 bits).
    pub root_cluster: u32,
    /// First sector of cluster 2.
    pub data_start: u32,
    /// Clusters; they are numbered from 2 on.
    pub clusters: u32,
    /// Sector of the free count (32 bits).
    pub info_sector: u32,
    /// Sectors in all.
    pub sectors: u32,
    /// Serial number.
    pub serial: u32,
    /// It was not unmounted.
    pub dirty: bool,
}

/// The first cluster's number.
pub const FIRST: u32 = 2;

impl Geometry {
    /// Reads the first 512 bytes of a file system. The error is the reason, as Linux words it.
    pub fn parse(boot: &[u8]) -> Result<Self, &'static str> {
        let (reserved, fats, media) = (le16(boot, 14), byte(boot, 16), byte(boot, 21));
        let (sector, cluster_sectors) = (u32::from(le16(boot, 11)), u32::from(byte(boot, 13)));
        let (small, large) = (u32::from(le16(boot, 22)), le32(boot, 36));
        let is_32 = small == 0;
        if reserved == 0 {
            return Err("bogus number of reserved sectors");
        }
        if fats == 0 {
            return Err("bogus number of FAT structure");
        }
        if media < 0xf8 && media != 0xf0 {
            return Err("invalid media value");
        }
        if !sector.is_power_of_two() || !(512..=4096).contains(&sector) {
            return Err("bogus logical sector size");
        }
        if !cluster_sectors.is_power_of_two() {
            return Err("bogus sectors per cluster");
        }
        if is_32 && large == 0 {
            return Err("bogus number of FAT sectors");
        }
        let fat_sectors = if is_32 { large } else { small };
        let root_entries = u32::from(le16(boot, 17));
        if root_entries % (sector / crate::ENTRY as u32) != 0 {
            return Err("bogus number of directory entries");
        }
        let root_start = fat_sectors.checked_mul(fats.into()).and_then(|all| all.checked_add(reserved.into()));
        let root_start = root_start.ok_or("bogus number of FAT sectors")?;
        let root_sectors = root_entries * crate::ENTRY as u32 / sector;
        let data_start = root_start.checked_add(root_sectors).ok_or("bogus number of FAT sectors")?;
        let sectors = match le16(boot, 19) {
            0 => le32(boot, 32),
            few => few.into(),
        };
        let total = sectors.checked_sub(data_start).ok_or("count of clusters too big")? / cluster_sectors;
        let width = match (is_32, total > 0xff4) {
            (true, _) => Width::Bits32,
            (_, true) => Width::Bits16,
            _ => Width::Bits12,
        };
        // The table may have room for fewer.
        let room = u64::from(fat_sectors) * u64::from(sector) * 8 / u64::from(width.bits());
        let room = u32::try_from(room.saturating_sub(FIRST.into())).unwrap_or(u32::MAX);
        let clusters = total.min(room);
        if clusters > width.most() {
            return Err("count of clusters too big");
        }
        let (state, serial) = if is_32 { (byte(boot, 65), le32(boot, 67)) } else { (byte(boot, 37), le32(boot, 39)) };
        Ok(Self {
            width,
            sector,
            cluster_sectors,
            fat_start: reserved.into(),
            fats: fats.into(),
            fat_sectors,
            root_start,
            root_entries: if is_32 { 0 } else { root_entries },
            root_cluster: le32(boot, 44),
            data_start,
            clusters,
            info_sector: match (is_32, le16(boot, 48)) {
                (true, 0) => 1,
                (_, sector) => sector.into(),
            },
            sectors,
            serial,
            dirty: state & DIRTY != 0,
        })
    }

    /// Where the byte with [`DIRTY`] is in the boot sector.
    pub fn state_at(&self) -> usize {
        if self.width == Width::Bits32 { 65 } else { 37 }
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> u32 {
        // At most 4096 * 128.
        self.sector * self.cluster_sectors
    }

    /// Whether a cluster has this number.
    pub fn has(&self, cluster: u32) -> bool {
        (FIRST..self.clusters.saturating_add(FIRST)).contains(&cluster)
    }

    /// The first byte of a cluster.
    pub fn cluster_at(&self, cluster: u32) -> u64 {
        let sector = u64::from(cluster.saturating_sub(FIRST)) * u64::from(self.cluster_sectors);
        (u64::from(self.data_start) + sector) * u64::from(self.sector)
    }
}

/// A bit of the state: it is mounted for writing.
pub const DIRTY: u8 = 1;

/// The information sector's counts: free clusters, and where to look for one; `None` without its marks.
pub fn info(sector: &[u8]) -> Option<(u32, u32)> {
    let marked = le32(sector, 0) == 0x4161_5252 && le32(sector, 484) == 0x6141_7272;
    marked.then(|| (le32(sector, 488), le32(sector, 492)))
}

/// Stores the counts.
pub fn set_info(sector: &mut [u8], free: u32, next: u32) {
    for (at, value) in [(488, free), (492, next)] {
        if let Some(place) = sector.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(sectors: u32, cluster: u8, fat: u16) -> [u8; 512] {
        let mut out = [0; 512];
        out[11..13].copy_from_slice(&512u16.to_le_bytes());
        (out[13], out[14], out[16], out[21]) = (cluster, 1, 2, 0xf8);
        out[17..19].copy_from_slice(&512u16.to_le_bytes());
        out[22..24].copy_from_slice(&fat.to_le_bytes());
        out[32..36].copy_from_slice(&sectors.to_le_bytes());
        out
    }

    #[test]
    fn widths() {
        let small = Geometry::parse(&boot(2880, 1, 9)).unwrap();
        assert_eq!((small.width, small.clusters, small.data_start), (Width::Bits12, 2829, 51));
        let large = Geometry::parse(&boot(65536, 4, 64)).unwrap();
        assert_eq!(large.width, Width::Bits16);
        assert_eq!(large.cluster_at(3), u64::from(large.data_start + 4) * 512);
        // A table that is too small limits the number of clusters.
        assert_eq!(Geometry::parse(&boot(65536, 4, 1)).unwrap().clusters, 254);
    }

    #[test]
    fn refused() {
        assert!(Geometry::parse(&[0; 512]).is_err());
        for (at, value) in [(11, 1), (13, 3), (13, 0), (14, 0), (16, 0), (21, 1), (22, 0), (17, 1)] {
            let mut bytes = boot(2880, 1, 9);
            bytes[at] = value;
            assert!(Geometry::parse(&bytes).is_err(), "{at}");
        }
        assert!(Geometry::parse(&boot(10, 1, 9)).is_err());
        assert!(Geometry::parse(&[]).is_err());
    }
}
