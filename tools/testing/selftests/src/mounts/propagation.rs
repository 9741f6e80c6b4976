// SPDX-License-Identifier: GPL-2.0
//! Propagation of mounts.

use super::*;

pub(super) fn shared() -> Outcome {
    start()?;
    for name in ["a", "b"] {
        dir(name)?;
    }
    c!(mount("none", "a", "tmpfs", 0));
    eq!(info("a")?.1, "");
    c!(mount("", "a", "", MS_SHARED));
    let group = info("a")?.1;
    ck!(group.starts_with("shared:"), "{group}");
    dir("a/m")?;
    c!(mount("a", "b", "", MS_BIND));
    eq!(info("b")?.1, group);
    // Either way.
    c!(mount("none", "a/m", "tmpfs", 0));
    touch("a/m/f")?;
    ck!(exists("b/m/f"));
    let inner = info("a/m")?.1;
    ck!(inner.starts_with("shared:") && inner != group, "{inner}");
    eq!(info("b/m")?.1, inner);
    c!(umount("b/m", 0));
    ck!(!exists("a/m/f"));
    eq!(count("a/m")?, 0);
    // A peer that shows a part gets only what lies in it.
    dir("a/part")?;
    dir("c")?;
    c!(mount("a/part", "c", "", MS_BIND));
    dir("a/part/x")?;
    c!(mount("none", "a/part/x", "tmpfs", 0));
    eq!((count("c/x")?, count("b/part/x")?), (1, 1));
    c!(mount("none", "a/m", "tmpfs", 0));
    eq!(count("b/m")?, 1);
    Ok(())
}

pub(super) fn slave() -> Outcome {
    start()?;
    for name in ["a", "b"] {
        dir(name)?;
    }
    c!(mount("none", "a", "tmpfs", 0));
    c!(mount("", "a", "", MS_SHARED));
    dir("a/m")?;
    dir("a/n")?;
    c!(mount("a", "b", "", MS_BIND));
    c!(mount("", "b", "", MS_SLAVE));
    eq!(info("b")?.1, info("a")?.1.replace("shared", "master"));
    c!(mount("none", "a/m", "tmpfs", 0));
    eq!(count("b/m")?, 1);
    eq!(info("b/m")?.1, info("a/m")?.1.replace("shared", "master"));
    c!(mount("none", "b/n", "tmpfs", 0));
    eq!((count("a/n")?, info("b/n")?.1.as_str()), (0, ""));
    c!(umount("a/m", 0));
    eq!(count("b/m")?, 0);
    Ok(())
}

pub(super) fn slave_shared() -> Outcome {
    start()?;
    for name in ["a", "b", "c"] {
        dir(name)?;
    }
    c!(mount("none", "a", "tmpfs", 0));
    c!(mount("", "a", "", MS_SHARED));
    dir("a/m")?;
    c!(mount("a", "b", "", MS_BIND));
    c!(mount("", "b", "", MS_SLAVE));
    c!(mount("", "b", "", MS_SHARED));
    c!(mount("b", "c", "", MS_BIND));
    let fields = info("b")?.1;
    ck!(fields.starts_with("shared:") && fields.contains(" master:"), "{fields}");
    eq!(info("c")?.1, fields);
    c!(mount("none", "a/m", "tmpfs", 0));
    eq!((count("b/m")?, count("c/m")?), (1, 1));
    let inner = info("b/m")?.1;
    ck!(inner.starts_with("shared:") && inner.contains(" master:"), "{inner}");
    eq!(info("c/m")?.1, inner);
    c!(umount("a/m", 0));
    eq!((count("b/m")?, count("c/m")?), (0, 0));
    Ok(())
}

pub(super) fn unbindable() -> Outcome {
    start()?;
    for name in ["a", "a/u", "b", "c"] {
        dir(name)?;
    }
    c!(mount("none", "a/u", "tmpfs", 0));
    c!(mount("", "a/u", "", MS_UNBINDABLE));
    eq!(info("a/u")?.1, "unbindable");
    fails!(mount("a/u", "b", "", MS_BIND), libc::EINVAL);
    c!(mount("a", "c", "", MS_BIND | MS_REC));
    eq!(count("c/u")?, 0);
    c!(mount("", "a/u", "", MS_PRIVATE));
    c!(mount("a/u", "b", "", MS_BIND));
    Ok(())
}

pub(super) fn private_again() -> Outcome {
    start()?;
    for name in ["a", "b"] {
        dir(name)?;
    }
    c!(mount("none", "a", "tmpfs", 0));
    c!(mount("", "a", "", MS_SHARED));
    dir("a/m")?;
    c!(mount("a", "b", "", MS_BIND));
    c!(mount("", "b", "", MS_PRIVATE));
    eq!(info("b")?.1, "");
    c!(mount("none", "a/m", "tmpfs", 0));
    eq!(count("b/m")?, 0);
    fails!(mount("", "b", "", MS_PRIVATE | MS_SHARED), libc::EINVAL);
    fails!(mount("", "b/m", "", MS_PRIVATE), libc::EINVAL);
    // A slave whose master's last mount goes is private.
    c!(mount("a", "b", "", MS_BIND));
    c!(mount("", "b", "", MS_SLAVE));
    c!(umount("a", MNT_DETACH));
    eq!(info("b")?.1, "");
    Ok(())
}

pub(super) fn umount_propagates() -> Outcome {
    start()?;
    for name in ["a", "b"] {
        dir(name)?;
    }
    c!(mount("none", "a", "tmpfs", 0));
    c!(mount("", "a", "", MS_SHARED));
    c!(mount("a", "b", "", MS_BIND));
    dir("a/m")?;
    c!(mount("none", "a/m", "tmpfs", 0));
    dir("a/m/n")?;
    c!(mount("none", "a/m/n", "tmpfs", 0));
    eq!((count("b/m")?, count("b/m/n")?), (1, 1));
    c!(umount("b/m", MNT_DETACH));
    eq!((count("a/m")?, count("a/m/n")?), (0, 0));
    Ok(())
}
