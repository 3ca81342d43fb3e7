//! What the program says of volumes of every format.

mod program;
mod several;
