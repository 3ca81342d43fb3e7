//! Who holds which bytes: blocks that are counted as long as somebody holds them, and the largest sum so far.

use std::cell::RefCell;
use std::rc::Rc;

use nn::kernels::ScratchSizes;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made in a forward pass: activations, what a loss keeps, the batch.
    Forward,
    /// The gradient of an activation, or a tensor that lives for one operation.
    Passing,
    /// The gradient of a weight.
    Gradient,
}

const KINDS: usize = 3;

/// The books of one pass.
#[derive(Clone, Default)]
pub(super) struct Ledger(Rc<RefCell<Account>>);

#[derive(Default)]
struct Account {
    live: [usize; KINDS],
    peak: [usize; KINDS],
    scratch: ScratchSizes,
}

/// Memory that is shared among its clones.
#[derive(Clone)]
pub(super) struct Block(Rc<Held>);

struct Held {
    bytes: usize,
    kind: Kind,
    ledger: Ledger,
}

impl Ledger {
    /// A block of so many numbers of 4 bytes.
    pub(super) fn numbers(&self, kind: Kind, numbers: usize) -> Block {
        self.bytes(kind, numbers * size_of::<f32>())
    }

    /// A block of so many bytes.
    pub(super) fn bytes(&self, kind: Kind, bytes: usize) -> Block {
        let mut account = self.0.borrow_mut();
        account.live[kind as usize] += bytes;
        if account.live.iter().sum::<usize>() > account.peak.iter().sum() {
            account.peak = account.live;
        }
        drop(account);
        Block(Rc::new(Held { bytes, kind, ledger: self.clone() }))
    }

    /// A kernel that holds scratch memory of so many bytes.
    pub(super) fn scratch(&self, blocks: &[usize]) {
        self.0.borrow_mut().scratch.pass(blocks);
    }

    /// Bytes of each kind when they were most together.
    pub(super) fn peak(&self) -> [usize; KINDS] {
        self.0.borrow().peak
    }

    /// Bytes of scratch memory that passes left behind.
    pub(super) fn scratch_bytes(&self) -> usize {
        self.0.borrow().scratch.bytes()
    }
}

impl Block {
    /// The block to write into: itself, or a copy where it is shared.
    pub(super) fn written(self) -> Self {
        if Rc::strong_count(&self.0) == 1 {
            return self;
        }
        self.0.ledger.bytes(self.0.kind, self.0.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.0.borrow_mut().live[self.kind as usize] -= self.bytes;
    }
}
