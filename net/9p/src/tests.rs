// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel, with a server that answers as it is told.

use kernel::prelude::*;

#[kunit_tests(p9_client)]
mod in_kernel {
    use crate::proto::{Frame, NOTAG, NewAttributes, kind};
    use crate::{Channel, Client, Request};
    use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use kalloc::{Arc, KVec};
    use kernel::ext::{SpinLock, Work};
    use kernel::prelude::*;

    /// What the server says next.
    #[derive(Clone, Copy)]
    enum Say {
        /// The right type, and these bytes.
        Answer(&'static [u8]),
        /// `Rlerror`.
        Fails(u32),
        /// An answer to something else.
        Wrong,
        /// A size that is more than there is.
        TooLong,
        /// Another's tag.
        Tag,
        /// Nothing.
        Dies,
    }

    /// A server.
    struct Fake {
        says: SpinLock<KVec<Say>>,
        /// Types of what it was asked.
        asked: SpinLock<KVec<u8>>,
        closed: AtomicBool,
        /// Nothing is given back.
        deaf: AtomicBool,
    }

    const QID: &[u8] = &[0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    const WALKED: &[u8] = &[1, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    const WALKED_NONE: &[u8] = &[0, 0];
    const OPENED: &[u8] = &[0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const VERSION: &[u8] = b"\x00\x20\x00\x00\x08\x009P2000.L";

    fn bytes(kind: u8, tag: u16, body: &[u8]) -> Result<KVec<u8>> {
        let mut out = KVec::new();
        out.extend_from_slice(&(7 + body.len() as u32).to_le_bytes(), GFP_KERNEL)?;
        out.push(kind, GFP_KERNEL)?;
        out.extend_from_slice(&tag.to_le_bytes(), GFP_KERNEL)?;
        out.extend_from_slice(body, GFP_KERNEL)?;
        Ok(out)
    }

    impl Channel for Fake {
        fn submit(&self, request: &Arc<Request>, _: bool) -> Result {
            let frame = Frame::parse(&request.message()?)?;
            self.asked.lock().push(frame.kind, GFP_ATOMIC)?;
            // What nobody told it about it grants.
            let say = {
                let mut says = self.says.lock();
                match frame.kind {
                    kind::TCLUNK if self.deaf.load(SeqCst) => Some(Say::Dies),
                    kind::TCLUNK => Some(Say::Answer(&[])),
                    _ => says.remove(0).ok(),
                }
            };
            let answer = match say.unwrap_or(Say::Dies) {
                Say::Answer(body) => bytes(frame.kind + 1, frame.tag, body)?,
                Say::Fails(code) => bytes(kind::RLERROR, frame.tag, &code.to_le_bytes())?,
                Say::Wrong => bytes(frame.kind + 3, frame.tag, &[0; 20])?,
                Say::Tag => bytes(frame.kind + 1, frame.tag ^ 1, QID)?,
                Say::TooLong => {
                    let mut answer = bytes(frame.kind + 1, frame.tag, QID)?;
                    if let Some(byte) = answer.first_mut() {
                        *byte = 200;
                    }
                    answer
                }
                Say::Dies => {
                    request.fail();
                    return Ok(());
                }
            };
            request.answer(&answer)
        }

        fn max_message(&self) -> u32 {
            64 * 1024
        }

        fn close(&self) {
            self.closed.store(true, SeqCst);
        }
    }

    fn server(says: &[Say]) -> Result<Arc<Fake>> {
        let fake = Fake {
            says: SpinLock::new(KVec::from_slice(says, GFP_KERNEL)?),
            asked: SpinLock::new(KVec::with_capacity(256, GFP_KERNEL)?),
            closed: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        };
        Ok(Arc::new(fake, GFP_KERNEL)?)
    }

    fn session(says: &[Say]) -> Result<(Arc<Fake>, Arc<Client>)> {
        let mut all = KVec::new();
        all.push(Say::Answer(VERSION), GFP_KERNEL)?;
        all.extend_from_slice(says, GFP_KERNEL)?;
        let fake = server(&all)?;
        let client = Client::on_channel(fake.clone(), None, 65536)?;
        Ok((fake, client))
    }

    /// Waits until what was dropped is given back.
    fn settle(client: &Client) {
        if let Some(work) = client.clunks.get() {
            Work::flush(work);
        }
    }

    fn count(fake: &Fake, kind: u8) -> usize {
        fake.asked.lock().iter().filter(|asked| **asked == kind).count()
    }

    #[test]
    fn agrees_on_a_size() -> Result {
        let (fake, client) = session(&[])?;
        assert_eq!(client.msize(), 8192);
        client.close();
        assert!(fake.closed.load(SeqCst));
        assert_eq!(client.attach(b"", 0).err(), Some(EIO));
        for (body, error) in [
            (b"\x00\x20\x00\x00\x06\x009P2000".as_slice(), EREMOTEIO),
            (b"\x00\x0f\x00\x00\x08\x009P2000.L", EREMOTEIO),
            (b"\x00\x20\x00\x00\x09\x009P2000.L", EFAULT),
        ] {
            let fake = server(&[Say::Answer(body)])?;
            assert_eq!(Client::on_channel(fake.clone(), None, 65536).err(), Some(error));
            assert!(fake.closed.load(SeqCst));
        }
        // A greater size than was asked for is not taken.
        let fake = server(&[Say::Answer(VERSION)])?;
        assert_eq!(Client::on_channel(fake, None, 4096)?.msize(), 4096);
        // Without room for the head of a message nothing is sent.
        for msize in [0, 23, 4095] {
            let fake = server(&[Say::Answer(VERSION)])?;
            assert_eq!(Client::on_channel(fake.clone(), None, msize).err(), Some(EINVAL));
            assert!(fake.closed.load(SeqCst) && fake.asked.lock().is_empty());
        }
        Ok(())
    }

    #[test]
    fn numbers_that_the_server_may_know_are_not_given_out() -> Result {
        // Nonsense for a walk: the server may have taken the number, so that it is given back first.
        let (fake, client) = session(&[Say::Answer(QID), Say::Wrong, Say::Answer(WALKED), Say::Wrong])?;
        let root = client.attach(b"", 0)?;
        assert_eq!(root.walk(&[b"a"]).err(), Some(EIO));
        settle(&client);
        assert_eq!(count(&fake, kind::TCLUNK), 1);
        // A removal without a sensible answer is followed by giving back, one that was refused is not.
        assert_eq!(root.walk(&[b"a"])?.remove().err(), Some(EIO));
        settle(&client);
        assert_eq!(count(&fake, kind::TCLUNK), 2);
        fake.says.lock().extend_from_slice(&[Say::Answer(WALKED), Say::Fails(1)], GFP_ATOMIC)?;
        assert_eq!(root.walk(&[b"a"])?.remove().err(), Some(EPERM));
        settle(&client);
        assert_eq!(count(&fake, kind::TCLUNK), 2);
        assert_eq!(client.fids_in_use(), 1);
        // Giving back fails: the number stays taken, and nobody has it.
        fake.deaf.store(true, SeqCst);
        drop(root);
        settle(&client);
        assert_eq!((count(&fake, kind::TCLUNK), client.fids_in_use()), (3, 0));
        fake.deaf.store(false, SeqCst);
        fake.says.lock().push(Say::Answer(QID), GFP_ATOMIC)?;
        assert_eq!(client.attach(b"", 0)?.number(), 1);
        Ok(())
    }

    #[test]
    fn walks_and_gives_back() -> Result {
        let says = [Say::Answer(QID), Say::Answer(WALKED), Say::Answer(OPENED)];
        let (fake, client) = session(&says)?;
        let root = client.attach(b"", 1000)?;
        assert_eq!((root.uid(), root.qid().path), (1000, 9));
        let file = root.walk(&[b"name"])?.open(0)?;
        assert_eq!((file.uid(), file.qid().path, file.max_io()), (1000, 7, 8192 - 24));
        drop(file);
        settle(&client);
        assert_eq!(count(&fake, kind::TCLUNK), 1);
        drop(root);
        settle(&client);
        assert_eq!(count(&fake, kind::TCLUNK), 2);
        Ok(())
    }

    #[test]
    fn what_the_server_does_not_know_is_not_given_back() -> Result {
        let says = [Say::Answer(QID), Say::Answer(WALKED_NONE), Say::Fails(2), Say::Fails(13)];
        let (fake, client) = session(&says)?;
        let root = client.attach(b"", 0)?;
        // It came nowhere.
        assert_eq!(root.walk(&[b"a"]).err(), Some(ENOENT));
        assert_eq!(root.walk(&[b"a"]).err(), Some(ENOENT));
        assert_eq!(root.walk(&[b"a"]).err(), Some(EACCES));
        settle(&client);
        assert_eq!(count(&fake, kind::TCLUNK), 0);
        Ok(())
    }

    #[test]
    fn nonsense_is_an_error() -> Result {
        for say in [Say::Wrong, Say::TooLong, Say::Tag, Say::Dies, Say::Fails(0), Say::Fails(70000)] {
            let (_fake, client) = session(&[say])?;
            assert_eq!(client.attach(b"", 0).err(), Some(EIO));
        }
        // Cut answers.
        let (_fake, client) = session(&[Say::Answer(QID), Say::Answer(&[1]), Say::Answer(&[5, 0])])?;
        let root = client.attach(b"", 0)?;
        assert_eq!(root.attributes(0).err(), Some(EFAULT));
        assert_eq!(root.walk(&[b"a"]).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn reads_no_more_than_there_is() -> Result {
        let says = [
            Say::Answer(QID),
            Say::Answer(b"\x05\x00\x00\x00hello"),
            // It says more than it sent, and more than it was asked for.
            Say::Answer(b"\x09\x00\x00\x00hello"),
            Say::Answer(b"\x00\x02\x00\x00hello"),
            Say::Fails(5),
        ];
        let (_fake, client) = session(&says)?;
        let root = client.attach(b"", 0)?;
        assert_eq!(&root.read_bytes(kind::TREAD, 0, 100)?[..], b"hello");
        assert_eq!(root.read_bytes(kind::TREAD, 0, 100).err(), Some(EIO));
        assert_eq!(root.read_bytes(kind::TREAD, 0, 100).err(), Some(EIO));
        assert_eq!(root.read_bytes(kind::TREAD, 0, 100).err(), Some(EIO));
        Ok(())
    }

    #[test]
    fn long_walks_are_several() -> Result {
        // As many of the longest names as 4096 bytes have room for.
        const FIFTEEN: &[u8] = &{
            let mut body = [0; 2 + 13 * 15];
            body[0] = 15;
            body
        };
        let says = [Say::Answer(VERSION), Say::Answer(QID), Say::Answer(FIFTEEN), Say::Answer(WALKED)];
        let fake = server(&says)?;
        let client = Client::on_channel(fake.clone(), None, 4096)?;
        let root = client.attach(b"", 0)?;
        let name = [b'n'; 255];
        let file = root.walk(&[&name[..]; 16])?;
        assert_eq!((count(&fake, kind::TWALK), file.qid().path), (2, 7));
        Ok(())
    }

    #[test]
    fn writes_all_or_says_why() -> Result {
        let says = [
            Say::Answer(QID),
            Say::Answer(b"\x02\x00\x00\x00"),
            Say::Answer(b"\x03\x00\x00\x00"),
            Say::Answer(b"\x00\x00\x00\x00"),
        ];
        let (fake, client) = session(&says)?;
        let root = client.attach(b"", 0)?;
        root.write_all(0, b"abcde")?;
        assert_eq!(count(&fake, kind::TWRITE), 2);
        assert_eq!(root.write_all(0, b"abcde").err(), Some(EIO));
        assert_eq!(root.set_attributes(&NewAttributes::default()).err(), Some(EIO));
        Ok(())
    }

    #[test]
    fn numbers_are_used_again() -> Result {
        let mut says = KVec::new();
        for _ in 0..200 {
            says.push(Say::Answer(QID), GFP_KERNEL)?;
        }
        let (_fake, client) = session(&says)?;
        let mut fids = KVec::new();
        for _ in 0..100 {
            fids.push(client.attach(b"", 0)?, GFP_KERNEL)?;
        }
        fids.clear();
        settle(&client);
        for _ in 0..100 {
            let fid = client.attach(b"", 0)?;
            assert!(fid.number() < 100);
            fids.push(fid, GFP_KERNEL)?;
        }
        assert_ne!(NOTAG, 0);
        Ok(())
    }
}
