// SPDX-License-Identifier: GPL-2.0
//! Why a vector did not take a value: with the value.

use core::fmt;
use errno::{Error, code::EINVAL};

/// There was no room for the value.
pub struct PushError<T>(pub T);

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room")
    }
}

/// As Linux: memory there may be, but it was not to be asked for.
impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Self {
        EINVAL
    }
}

/// There is no such element.
pub struct RemoveError;

impl fmt::Debug for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("behind the end")
    }
}

impl From<RemoveError> for Error {
    fn from(_: RemoveError) -> Self {
        EINVAL
    }
}

/// Why a value was not inserted.
pub enum InsertError<T> {
    /// The place is behind the end.
    IndexOutOfBounds(T),
    /// There is no room.
    OutOfCapacity(T),
}

impl<T> InsertError<T> {
    /// The value.
    pub fn into_value(self) -> T {
        match self {
            Self::IndexOutOfBounds(value) | Self::OutOfCapacity(value) => value,
        }
    }
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IndexOutOfBounds(_) => "behind the end",
            Self::OutOfCapacity(_) => "no room",
        })
    }
}

impl<T> From<InsertError<T>> for Error {
    fn from(_: InsertError<T>) -> Self {
        EINVAL
    }
}
