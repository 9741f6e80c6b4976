// SPDX-License-Identifier: GPL-2.0
//! Line speeds in `c_cflag` and as numbers. No locks. Source: `termios(3)`, `ioctl_tty(2)` (`BOTHER`).

use uapi::*;

/// Speeds by code: `B0` to `B38400`, then `B57600` to `B4000000`.
const SPEEDS: [u32; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115_200, 230_400,
    460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000,
    4_000_000,
];

/// The speed of a code without `CBAUDEX` shifts; `None` for `BOTHER`.
fn speed_of(code: u32) -> Option<u32> {
    let index = if code & CBAUDEX != 0 {
        // `BOTHER` is `CBAUDEX` alone; extended codes follow `B38400`.
        (code & !CBAUDEX).checked_add(15).filter(|&n| n > 15)?
    } else {
        code
    };
    SPEEDS.get(index as usize).copied()
}

/// The output speed that `termios` asks for.
pub fn baud_rate(termios: &ktermios) -> u32 {
    speed_of(termios.c_cflag & CBAUD).unwrap_or(termios.c_ospeed)
}

/// The input speed; that of the output if none is given.
pub fn input_baud_rate(termios: &ktermios) -> u32 {
    match (termios.c_cflag >> IBSHIFT) & CBAUD {
        B0 => baud_rate(termios),
        code => speed_of(code).unwrap_or(termios.c_ispeed),
    }
}

/// Stores the speeds that the device really has: a code where one is near enough (2 %), else `BOTHER`.
pub fn encode_baud(termios: &mut ktermios, input: u32, output: u32) {
    termios.c_ispeed = input;
    termios.c_ospeed = output;
    let code = |speed: u32| {
        let near = speed / 50;
        let found = SPEEDS.iter().position(|&s| s.abs_diff(speed) <= near);
        match found {
            Some(n) if n <= 15 => n as u32,
            Some(n) => CBAUDEX | (n as u32).wrapping_sub(15),
            None => BOTHER,
        }
    };
    let had_input = termios.c_cflag & CIBAUD != 0;
    termios.c_cflag &= !(CBAUD | CIBAUD);
    termios.c_cflag |= code(output);
    if had_input && input != output {
        termios.c_cflag |= code(input) << IBSHIFT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        let mut t = ktermios { c_cflag: B115200, ..Default::default() };
        assert_eq!((baud_rate(&t), input_baud_rate(&t)), (115_200, 115_200));
        t.c_cflag = B38400 | B9600 << IBSHIFT;
        assert_eq!((baud_rate(&t), input_baud_rate(&t)), (38400, 9600));
        t.c_cflag = BOTHER;
        t.c_ospeed = 12345;
        assert_eq!(baud_rate(&t), 12345);
        encode_baud(&mut t, 4_000_000, 4_000_000);
        assert_eq!(t.c_cflag & CBAUD, B4000000);
        encode_baud(&mut t, 38461, 38461);
        assert_eq!(t.c_cflag & CBAUD, B38400);
    }
}
