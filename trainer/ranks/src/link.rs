//! How packets travel.

use std::sync::{Arc, Weak};

use crate::packet::Packet;
use crate::post::Post;

/// The way from one rank to the others.
pub(crate) trait Link: Send + Sync {
    /// Sends a packet. Those to one rank arrive in the order in which they were sent.
    fn send(&self, to: usize, packet: Arc<Packet>);

    /// Comes back when all that was sent has left.
    fn close(&self) {}
}

/// Ranks that are threads: a packet is delivered by whoever sends it.
pub(crate) struct Threads {
    rank: usize,
    posts: Vec<Weak<Post>>,
}

impl Threads {
    pub(crate) fn new(rank: usize, posts: &[Arc<Post>]) -> Box<Self> {
        Box::new(Self { rank, posts: posts.iter().map(Arc::downgrade).collect() })
    }
}

impl Link for Threads {
    fn send(&self, to: usize, packet: Arc<Packet>) {
        // A rank that is gone has dropped its post.
        if let Some(post) = self.posts[to].upgrade() {
            post.deliver(self.rank, Arc::unwrap_or_clone(packet));
        }
    }
}
