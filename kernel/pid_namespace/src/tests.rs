// SPDX-License-Identifier: GPL-2.0
//! Numbers at several levels. The name spaces are the tests' own; numbers of the first one are taken for a moment.

use super::*;

#[macros::kunit_tests(pid_namespace)]
mod suite {
    use super::*;
    use errno::code::*;

    const NOT_ALLOWED: Result = Err(EPERM);

    fn two_levels() -> Result<(PidNs, PidNs)> {
        let outer = PidNs::create(&PidNs::FIRST, 1)?;
        let inner = PidNs::create(&outer, 2)?;
        Ok((outer, inner))
    }

    #[test]
    fn a_number_at_every_level() -> Result {
        let (outer, inner) = two_levels()?;
        let first_of_outer = PidNr::new(&outer, &[], Ok(()))?;
        outer.set_reaper(first_of_outer.get());
        let deep = PidNr::new(&inner, &[], Ok(()))?;
        let name = deep.name().clone();
        assert_eq!((name.own(), name.number_in(&inner), name.number_in(&outer)), (1, 1, 2));
        assert_eq!(name.number_in(&PidNs::FIRST), name.first());
        assert_eq!(first_of_outer.name().number_in(&inner), 0);
        assert_eq!(first_of_outer.name().seen_by(&name), 0);
        assert_eq!(name.seen_by(first_of_outer.name()), 2);
        assert_eq!(outer.to_first(2), Some(name.first()));
        assert_eq!(inner.to_first(2), None);
        let all: KVec3 = collect(&name, &PidNs::FIRST);
        assert_eq!(all, [name.first(), 2, 1]);
        assert_eq!(collect(&name, &outer), [2, 1, 0]);
        assert_eq!(collect(first_of_outer.name(), &inner), [0, 0, 0]);
        drop(deep);
        // What it was called is still known, but it is not found.
        assert_eq!((name.number_in(&outer), outer.to_first(2)), (2, None));
        Ok(())
    }

    type KVec3 = [u32; 3];

    fn collect(name: &PidName, ns: &PidNs) -> KVec3 {
        let mut all = [0; 3];
        for (to, number) in all.iter_mut().zip(name.from_ns(ns)) {
            *to = number;
        }
        all
    }

    #[test]
    fn chosen_numbers() -> Result {
        let (outer, inner) = two_levels()?;
        let new = |ns: &PidNs, wanted: &[u32]| PidNr::new(ns, wanted, Ok(())).map(|nr| nr.name().clone());
        // Nobody is before the first process.
        assert_eq!(new(&outer, &[2]).err(), Some(EINVAL));
        let init = PidNr::new(&outer, &[1], Ok(()))?;
        outer.set_reaper(init.get());
        assert_eq!(new(&outer, &[1]).err(), Some(EEXIST));
        assert_eq!(new(&outer, &[0]).err(), Some(EINVAL));
        assert_eq!(new(&outer, &[pid_max()]).err(), Some(EINVAL));
        assert_eq!(new(&outer, &[5, 1, 1]).err(), Some(EINVAL));
        assert_eq!(PidNr::new(&outer, &[5], NOT_ALLOWED).err(), Some(EPERM));
        let name = new(&inner, &[1, 42])?;
        assert_eq!((name.own(), name.number_in(&outer)), (1, 42));
        Ok(())
    }

    #[test]
    fn numbers_start_anew_where_none_was_used() -> Result {
        let ns = PidNs::create(&PidNs::FIRST, 1)?;
        // It fails at the upper level, where number 1 is somebody's.
        assert_eq!(PidNr::new(&ns, &[1, 1], Ok(())).err(), Some(EEXIST));
        assert_eq!(ns.last_pid(), 0);
        let nr = PidNr::new(&ns, &[], Ok(()))?;
        assert_eq!((nr.name().own(), ns.last_pid(), ns.is_closed()), (1, 1, false));
        // Its first process did not come to be.
        drop(nr);
        assert!(ns.is_closed());
        assert_eq!(PidNr::new(&ns, &[], Ok(())).err(), Some(ENOMEM));
        Ok(())
    }

    #[test]
    fn last_pid_of_each() -> Result {
        let ns = PidNs::create(&PidNs::FIRST, 1)?;
        let init = PidNr::new(&ns, &[], Ok(()))?;
        ns.set_reaper(init.get());
        ns.set_last_pid(400)?;
        assert_eq!(PidNr::new(&ns, &[], Ok(()))?.name().own(), 401);
        assert_eq!(ns.set_last_pid(pid_max() + 1), Err(EINVAL));
        // Behind the end it begins again above the reserved ones.
        ns.set_last_pid(pid_max() - 1)?;
        assert_eq!(PidNr::new(&ns, &[], Ok(()))?.name().own(), 300);
        assert_eq!(ns.next(2), None);
        Ok(())
    }

    #[test]
    fn depth_is_limited() -> Result {
        let mut ns = PidNs::FIRST;
        for level in 1..=MAX_LEVEL {
            ns = PidNs::create(&ns, level.into())?;
        }
        assert_eq!((ns.level(), PidNs::create(&ns, 0).err()), (MAX_LEVEL, Some(ENOSPC)));
        let init = PidNr::new(&ns, &[], Ok(()))?;
        assert_eq!(init.name().from_ns(&PidNs::FIRST).count(), MAX_LEVEL as usize + 1);
        assert!(PidNs::FIRST.contains(&ns) && !ns.contains(&PidNs::FIRST));
        Ok(())
    }
}
