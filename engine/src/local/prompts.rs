//! Encoded prompts, kept for the next request.

use crate::backend::{self, Backend};
use crate::{Cancel, Error};

/// Prompts kept at most: as many documents as somebody works in at once.
const PROMPTS_LIMIT: usize = 4;
/// A kept prompt is taken over by another that shares at least this many first tokens with it; else both are kept.
const SHARED_TOKENS_MIN: usize = 16;

/// The most recently used prompts, the newest last.
pub(super) struct Prompts<B: Backend> {
    kept: Vec<Kept<B>>,
}

struct Kept<B: Backend> {
    ids: Vec<u32>,
    cache: B::Cache,
}

impl<B: Backend> Prompts<B> {
    pub(super) fn new() -> Self {
        Self { kept: Vec::with_capacity(PROMPTS_LIMIT) }
    }

    /// Drops all of them.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Encodes what no kept prompt begins with. Returns the cache, and how many tokens were there already.
    pub(super) fn encode(
        &mut self,
        backend: &B,
        layers: usize,
        ids: &[u32],
        workspace: &mut B::Workspace,
        cancel: &Cancel,
    ) -> Result<(&B::Cache, usize), Error> {
        let best = (0..self.kept.len()).max_by_key(|index| shared(&self.kept[*index].ids, ids));
        let reuse = best.filter(|index| shared(&self.kept[*index].ids, ids) >= SHARED_TOKENS_MIN.min(ids.len()));
        let mut prompt = match reuse {
            Some(index) => self.kept.remove(index),
            None => {
                if self.kept.len() == PROMPTS_LIMIT {
                    self.kept.remove(0);
                }
                Kept { ids: Vec::new(), cache: backend.new_cache() }
            }
        };
        let reused = shared(&prompt.ids, ids);
        backend.truncate(&mut prompt.cache, reused);
        prompt.ids.truncate(reused);
        let rest = &ids[reused..];
        let encoded = backend.run(|| backend::encode(backend, layers, rest, &mut prompt.cache, workspace, cancel));
        if encoded.is_ok() {
            prompt.ids.extend_from_slice(rest);
        }
        // What was there before a cancellation is as good as ever.
        self.kept.push(prompt);
        encoded?;
        let newest = self.kept.len() - 1;
        Ok((&self.kept[newest].cache, reused))
    }
}

/// How many first tokens are the same.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
