// SPDX-License-Identifier: GPL-2.0
//! Types for flags and for sets of them: `kernel::impl_flags!`.
//!
//! ```
//! use kernel::impl_flags;
//!
//! impl_flags! {
//!     /// What may be done.
//!     #[derive(Debug, Clone, Default, Copy, PartialEq, Eq)]
//!     pub struct Rights(u32);
//!
//!     /// One thing that may be done.
//!     #[derive(Debug, Clone, Copy, PartialEq, Eq)]
//!     pub enum Right {
//!         /// To read.
//!         Read = 1 << 0,
//!         /// To write.
//!         Write = 1 << 1,
//!     }
//! }
//!
//! let rights = Right::Read | Right::Write;
//! assert!(rights.contains(Right::Write));
//! assert!(!(rights & Right::Read).contains(Right::Write));
//! ```

/// An operator between sets, between flags, and between a set and a flag; and where it assigns.
#[doc(hidden)]
#[macro_export]
macro_rules! __flags_operator {
    ($flags:ident, $flag:ident, $trait:ident $method:ident, $assign:ident $assign_method:ident, $op:tt, $mask:expr) => {
        impl ::core::ops::$trait for $flags {
            type Output = Self;

            #[inline]
            fn $method(self, other: Self) -> Self {
                Self((self.0 $op other.0) & $mask)
            }
        }

        impl ::core::ops::$trait<$flag> for $flags {
            type Output = Self;

            #[inline]
            fn $method(self, other: $flag) -> Self {
                self $op Self::from(other)
            }
        }

        impl ::core::ops::$trait for $flag {
            type Output = $flags;

            #[inline]
            fn $method(self, other: Self) -> $flags {
                $flags::from(self) $op $flags::from(other)
            }
        }

        impl ::core::ops::$assign for $flags {
            #[inline]
            fn $assign_method(&mut self, other: Self) {
                *self = *self $op other;
            }
        }

        impl ::core::ops::$assign<$flag> for $flags {
            #[inline]
            fn $assign_method(&mut self, other: $flag) {
                *self = *self $op other;
            }
        }
    };
}

/// Declares a type for flags, an enumeration whose values are bits, and one for sets of them, with the operators between the two.
#[macro_export]
macro_rules! impl_flags {
    (
        $(#[$flags_attr:meta])*
        $flags_vis:vis struct $flags:ident($ty:ty);

        $(#[$flag_attr:meta])*
        $flag_vis:vis enum $flag:ident {
            $( $(#[$value_attr:meta])* $name:ident = $value:expr ),+ $(,)?
        }
    ) => {
        $(#[$flags_attr])*
        #[repr(transparent)]
        $flags_vis struct $flags($ty);

        $(#[$flag_attr])*
        #[repr($ty)]
        $flag_vis enum $flag {
            $( $(#[$value_attr])* $name = $value ),+
        }

        #[allow(dead_code, reason = "what is private may not be used")]
        impl $flags {
            /// The empty set.
            #[inline]
            $flags_vis const fn empty() -> Self {
                Self(0)
            }

            /// The bits of all flags.
            #[inline]
            $flags_vis const fn all_bits() -> $ty {
                0 $( | $value )+
            }

            /// Whether the flag is in it.
            #[inline]
            $flags_vis fn contains(self, flag: $flag) -> bool {
                self.contains_all(flag.into())
            }

            /// Whether one of these is in it.
            #[inline]
            $flags_vis fn contains_any(self, flags: $flags) -> bool {
                self.0 & flags.0 != 0
            }

            /// Whether all of these are in it.
            #[inline]
            $flags_vis fn contains_all(self, flags: $flags) -> bool {
                self.0 & flags.0 == flags.0
            }
        }

        impl ::core::convert::From<$flag> for $flags {
            #[inline]
            fn from(flag: $flag) -> Self {
                Self(flag as $ty)
            }
        }

        impl ::core::convert::From<$flags> for $ty {
            #[inline]
            fn from(flags: $flags) -> Self {
                flags.0
            }
        }

        impl ::core::ops::Not for $flags {
            type Output = Self;

            #[inline]
            fn not(self) -> Self {
                Self(!self.0 & Self::all_bits())
            }
        }

        impl ::core::ops::Not for $flag {
            type Output = $flags;

            #[inline]
            fn not(self) -> $flags {
                !$flags::from(self)
            }
        }

        $crate::__flags_operator!($flags, $flag, BitOr bitor, BitOrAssign bitor_assign, |, !0);
        $crate::__flags_operator!($flags, $flag, BitAnd bitand, BitAndAssign bitand_assign, &, !0);
        $crate::__flags_operator!($flags, $flag, BitXor bitxor, BitXorAssign bitxor_assign, ^, $flags::all_bits());
    };
}

#[macros::kunit_tests(rust_impl_flags)]
mod tests {
    impl_flags!(
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        struct Set(u8);

        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum One {
            A = 1,
            B = 2,
            C = 8,
        }
    );

    #[test]
    fn sets() {
        let mut set = One::A | One::C;
        assert_eq!((set.contains(One::A), set.contains(One::B), u8::from(set)), (true, false, 9));
        assert_eq!((set.contains_any(One::B | One::C), set.contains_all(One::A | One::B)), (true, false));
        set ^= One::A;
        set |= One::B;
        assert_eq!(set, One::B | One::C);
        set &= One::B;
        assert_eq!((set, !set, !One::A), (Set::from(One::B), One::A | One::C, One::B | One::C));
        assert_eq!((Set::empty(), Set::all_bits()), (Set::default(), 11));
    }
}
