//! Requests that are filled together: their canvases share the passes, each over its own prompt.

use std::collections::VecDeque;
use std::time::Instant;

use super::free::NextCanvas;
use super::gathering::Asked;
use super::prompts::{PROMPTS_LIMIT, PromptId};
use super::{Engine, State, milliseconds_since, progress::Progress};
use crate::backend::Backend;
use crate::{Cancel, Error, Infill, LengthUse, Step, Timings};

/// One of the requests.
struct Member<'a> {
    progress: Progress<'a>,
    cancel: &'a Cancel,
    on_step: &'a mut dyn FnMut(Step<'_>),
    /// Why it ended before it was done.
    failed: Option<Error>,
}

/// A canvas that is about to be denoised.
struct Prepared {
    member: usize,
    canvas: NextCanvas,
    prompt: PromptId,
    /// Prompt tokens that were encoded already.
    reused: usize,
    prompt_ms: f64,
}

impl<'a> Member<'a> {
    fn new(asked: Asked<'a>) -> Self {
        let Asked { request, cancel, on_step } = asked;
        Self { progress: Progress::new(request), cancel, on_step, failed: None }
    }
}

impl<B: Backend> Engine<B> {
    /// Answers the requests, each as if it were alone.
    pub(super) fn infill_together(&self, asked: Vec<Asked<'_>>) -> Vec<Result<Infill, Error>> {
        let mut members: Vec<Member<'_>> = asked.into_iter().map(Member::new).collect();
        let mut state = self.lock_state();
        for member in &mut members {
            let chosen = self.choose(&mut state, &mut member.progress, member.cancel, member.on_step);
            member.failed = chosen.err();
        }
        self.fill(&mut state, &mut members);
        members.into_iter().map(|member| self.answer(member)).collect()
    }

    fn answer(&self, member: Member<'_>) -> Result<Infill, Error> {
        let Member { progress, failed, .. } = member;
        if let Some(error) = failed {
            return Err(error);
        }
        let length = LengthUse { elastic: self.elastic, ..progress.length };
        let timings = Timings { stages: self.clock.as_ref().map(|clock| clock.take()), ..progress.timings };
        Ok(Infill { candidates: progress.candidates(), prompt: progress.prompt, length, timings })
    }

    /// Fills the holes that are left. The requests take turns where not all of their canvases have room in a pass.
    fn fill(&self, state: &mut State<B>, members: &mut [Member<'_>]) {
        let mut open: VecDeque<usize> = (0..members.len()).filter(|index| members[*index].failed.is_none()).collect();
        let mut rows_max = self.shared_rows;
        loop {
            let canvases = self.next_canvases(&mut open, members, rows_max);
            if canvases.is_empty() {
                return;
            }
            let indices: Vec<usize> = canvases.iter().map(|(index, _)| *index).collect();
            if let Err(error) = self.fill_canvases(canvases, state, members) {
                match indices[..] {
                    [index] => members[index].failed = Some(error),
                    // Each by itself comes through, or meets its own error.
                    _ => rows_max = 0,
                }
            }
            open.extend(indices.into_iter().filter(|index| members[*index].failed.is_none()));
        }
    }

    /// The canvases that are next: one of a request, and no more than have room in a pass. Requests that are done leave
    /// `open`, and so do those whose canvas this is.
    fn next_canvases(
        &self,
        open: &mut VecDeque<usize>,
        members: &mut [Member<'_>],
        rows_max: usize,
    ) -> Vec<(usize, NextCanvas)> {
        let mut canvases = Vec::new();
        let mut rows = 0;
        while let Some(index) = open.front().copied()
            && canvases.len() < PROMPTS_LIMIT
        {
            let member = &mut members[index];
            match member.cancel.check().and_then(|()| self.next_canvas(&member.progress)) {
                Ok(Some(canvas)) => {
                    rows += canvas.rows;
                    if rows > rows_max && !canvases.is_empty() {
                        break;
                    }
                    canvases.push((index, canvas));
                }
                Ok(None) => {}
                Err(error) => member.failed = Some(error),
            }
            open.pop_front();
        }
        canvases
    }

    /// Denoises the canvases together.
    fn fill_canvases(
        &self,
        canvases: Vec<(usize, NextCanvas)>,
        state: &mut State<B>,
        members: &mut [Member<'_>],
    ) -> Result<(), Error> {
        state.make_room(&self.backend, canvases.iter().map(|(_, canvas)| canvas.rows).sum())?;
        let mut prepared: Vec<Prepared> = Vec::with_capacity(canvases.len());
        for (member, canvas) in canvases {
            let held: Vec<PromptId> = prepared.iter().map(|canvas| canvas.prompt).collect();
            let State { prompts, workspace, .. } = state;
            let started = Instant::now();
            let cancel = members[member].cancel;
            match prompts.encode(&self.backend, self.layers, canvas.prompt(), &held, workspace, cancel) {
                Ok((prompt, reused)) => {
                    let prompt_ms = canvas.laid_out_ms + milliseconds_since(started);
                    prepared.push(Prepared { member, canvas, prompt, reused, prompt_ms });
                }
                Err(Error::Cancelled) => members[member].failed = Some(Error::Cancelled),
                Err(error) => return Err(error),
            }
        }
        if prepared.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let caches: Vec<&B::Cache> = prepared.iter().map(|canvas| state.prompts.cache(canvas.prompt)).collect();
        let cancels: Vec<&Cancel> = prepared.iter().map(|canvas| members[canvas.member].cancel).collect();
        let mut jobs = Vec::new();
        // For each job, whose it is, and which of its own.
        let mut owners = Vec::new();
        for (prompt, canvas) in prepared.iter().enumerate() {
            let own = self.jobs(&canvas.canvas, members[canvas.member].progress.request, prompt);
            owners.extend((0..own.len()).map(|job| (prompt, job)));
            jobs.extend(own);
        }
        let run = self.run(&caches, &cancels);
        let denoised = run.run(jobs, &mut state.workspace, &mut |report| {
            let (prompt, job) = owners[report.job];
            let Prepared { member, canvas, .. } = &prepared[prompt];
            let Member { progress, on_step, .. } = &mut members[*member];
            self.show(canvas, job, &report, progress, on_step);
        })?;
        let denoise_ms = milliseconds_since(started);
        let mut rest = &denoised[..];
        for Prepared { member, canvas, reused, prompt_ms, .. } in &prepared {
            let (own, others) = rest.split_at(canvas.jobs());
            rest = others;
            let member = &mut members[*member];
            if member.cancel.is_cancelled() {
                member.failed = Some(Error::Cancelled);
                continue;
            }
            let progress = &mut member.progress;
            progress.prompted(canvas.layout(), *reused, *prompt_ms);
            self.take_in(canvas, own, progress);
            progress.timings.denoise_ms += denoise_ms;
        }
        Ok(())
    }
}
