//! The tape without numbers: what each operation keeps, and what its backward pass allocates, in the order of
//! [`autograd::Tape`].

use std::cell::RefCell;

use super::ledger::{Block, Kind, Ledger};

/// The shape of a tensor `[n, d, h, w, c]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) n: usize,
    pub(super) size: [usize; 3],
    pub(super) channels: usize,
}

impl Extent {
    pub(super) fn voxels(&self) -> usize {
        self.n * self.size.iter().product::<usize>()
    }

    pub(super) fn numel(&self) -> usize {
        self.voxels() * self.channels
    }
}

/// A value with its place on a tape.
#[derive(Clone)]
pub(super) struct Var {
    pub(super) block: Block,
    pub(super) extent: Extent,
    node: Option<usize>,
}

/// The gradients of an operation's inputs, from that of its value.
type Backward = Box<dyn FnOnce(&Pass, Block) -> Vec<Option<Block>>>;

struct Node {
    inputs: Vec<Option<usize>>,
    /// `None` for a variable.
    backward: Option<Backward>,
}

/// A backward pass under way.
pub(super) struct Pass {
    pub(super) ledger: Ledger,
    gradients: RefCell<Vec<Block>>,
}

impl Pass {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, gradients: RefCell::default() }
    }

    /// The gradient of a weight of so many numbers, kept to the end of the pass.
    pub(super) fn weight(&self, numbers: usize) {
        let gradient = self.ledger.numbers(Kind::Gradient, numbers);
        self.gradients.borrow_mut().push(gradient);
    }
}

/// See the header.
pub(super) struct Tape {
    pub(super) ledger: Ledger,
    pub(super) recording: bool,
    /// Of the pool that the kernels run in.
    pub(super) threads: usize,
    nodes: RefCell<Vec<Node>>,
}

impl Tape {
    pub(super) fn new(ledger: Ledger, recording: bool, threads: usize) -> Self {
        Self { ledger, recording, threads, nodes: RefCell::default() }
    }

    /// A new tensor.
    pub(super) fn tensor(&self, extent: Extent) -> Block {
        self.ledger.numbers(Kind::Forward, extent.numel())
    }

    /// A value without a gradient.
    pub(super) fn constant(&self, block: Block, extent: Extent) -> Var {
        Var { block, extent, node: None }
    }

    /// An operation's value. Operations with weights have a gradient to find even where no input has one.
    pub(super) fn record(
        &self,
        inputs: &[&Var],
        (block, extent): (Block, Extent),
        backward: impl FnOnce(&Pass, Block) -> Vec<Option<Block>> + 'static,
    ) -> Var {
        let inputs = inputs.iter().map(|x| x.node).collect();
        let node = self.recording.then(|| self.push(Node { inputs, backward: Some(Box::new(backward)) }));
        Var { block, extent, node }
    }

    /// `f(inputs)`, of which only the inputs are kept; see [`autograd::Tape::checkpoint`].
    pub(super) fn checkpoint(&self, inputs: Vec<Var>, f: impl Fn(&Tape, &[Var]) -> Var + 'static) -> Var {
        let constants = |inputs: &[Var]| -> Vec<Var> {
            inputs.iter().map(|x| self.constant(x.block.clone(), x.extent)).collect()
        };
        let y = f(&Self::new(self.ledger.clone(), false, self.threads), &constants(&inputs));
        let (threads, wanted) = (self.threads, wants(&inputs.iter().collect::<Vec<_>>()));
        let values = constants(&inputs);
        let again = move |pass: &Pass, dy: Block| {
            let tape = Self::new(pass.ledger.clone(), true, threads);
            let variable = |(x, wanted): (Var, &bool)| {
                let node = wanted.then(|| tape.push(Node { inputs: Vec::new(), backward: None }));
                Var { node, ..x }
            };
            let inputs: Vec<Var> = values.into_iter().zip(&wanted).map(variable).collect();
            let y = f(&tape, &inputs);
            let root = y.node;
            drop(y);
            let mut found =
                tape.backward(pass, root.map(|root| (root, dy)).into_iter().collect()).into_iter();
            wanted.iter().map(|wanted| wanted.then(|| found.next().flatten()).flatten()).collect()
        };
        self.record(&inputs.iter().collect::<Vec<_>>(), (y.block, y.extent), again)
    }

    /// Pops nodes from the end, from these values and their gradients on; the gradients of the variables in their order.
    pub(super) fn backward(self, pass: &Pass, roots: Vec<(usize, Block)>) -> Vec<Option<Block>> {
        let mut nodes = self.nodes.into_inner();
        let mut adjoints: Vec<Option<Block>> = nodes.iter().map(|_| None).collect();
        for (root, dy) in roots {
            accumulate(&mut adjoints[root], dy);
        }
        let mut variables = Vec::new();
        while let (Some(Node { inputs, backward }), Some(adjoint)) = (nodes.pop(), adjoints.pop()) {
            let Some(backward) = backward else {
                variables.push(adjoint);
                continue;
            };
            let Some(dy) = adjoint else { continue };
            for (input, dx) in inputs.iter().zip(backward(pass, dy)) {
                if let (Some(input), Some(dx)) = (input, dx) {
                    accumulate(&mut adjoints[*input], dx);
                }
            }
        }
        variables.reverse();
        variables
    }

    fn push(&self, node: Node) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(node);
        nodes.len() - 1
    }
}

/// Which values have a gradient.
pub(super) fn wants(inputs: &[&Var]) -> Vec<bool> {
    inputs.iter().map(|x| x.node.is_some()).collect()
}

impl Var {
    pub(super) fn node(&self) -> Option<usize> {
        self.node
    }
}

/// `sum += dx`
fn accumulate(sum: &mut Option<Block>, dx: Block) {
    *sum = Some(match sum.take() {
        Some(sum) => sum.written(),
        None => dx,
    });
}
