//! Encoded prompts, kept for the next request.

use crate::backend::{self, Backend};
use crate::{Cancel, Error};

/// Prompts kept at most: as many documents as somebody works in at once.
pub(super) const PROMPTS_LIMIT: usize = 4;
/// A kept prompt is taken over by another that shares at least this many first tokens with it; else both are kept.
const SHARED_TOKENS_MIN: usize = 16;

/// The most recently used prompts, the newest last.
pub(super) struct Prompts<B: Backend> {
    kept: Vec<Kept<B>>,
    /// Counts the caches.
    newest: u64,
}

/// Which of the prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PromptId(u64);

struct Kept<B: Backend> {
    id: PromptId,
    ids: Vec<u32>,
    cache: B::Cache,
}

impl<B: Backend> Prompts<B> {
    pub(super) fn new() -> Self {
        Self { kept: Vec::with_capacity(PROMPTS_LIMIT), newest: 0 }
    }

    /// Drops all of them.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Encodes what no kept prompt begins with. Returns which it is now, and how many tokens were there already. The
    /// prompts that are `held`, fewer than there may be, stay as they are.
    pub(super) fn encode(
        &mut self,
        backend: &B,
        layers: usize,
        ids: &[u32],
        held: &[PromptId],
        workspace: &mut B::Workspace,
        cancel: &Cancel,
    ) -> Result<(PromptId, usize), Error> {
        let (still, free): (Vec<_>, Vec<_>) =
            (0..self.kept.len()).partition(|index| held.contains(&self.kept[*index].id));
        if let Some(same) = still.into_iter().find(|index| self.kept[*index].ids == ids) {
            return Ok((self.kept[same].id, ids.len()));
        }
        let best = free.iter().copied().max_by_key(|index| shared(&self.kept[*index].ids, ids));
        let reuse = best.filter(|index| shared(&self.kept[*index].ids, ids) >= SHARED_TOKENS_MIN.min(ids.len()));
        let mut prompt = match reuse {
            Some(index) => self.kept.remove(index),
            None => {
                if self.kept.len() == PROMPTS_LIMIT {
                    self.kept.remove(free.first().copied().unwrap_or_default());
                }
                self.newest += 1;
                Kept { id: PromptId(self.newest), ids: Vec::new(), cache: backend.new_cache() }
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
        Ok((self.kept[newest].id, reused))
    }

    /// The cache of a prompt that was the last to be encoded, or has been held since.
    ///
    /// # Panics
    ///
    /// If it was not.
    pub(super) fn cache(&self, id: PromptId) -> &B::Cache {
        let kept = self.kept.iter().find(|kept| kept.id == id);
        &kept.expect("a prompt that is used is held").cache
    }
}

/// How many first tokens are the same.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
