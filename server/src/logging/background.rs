use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The most records that wait to be written.
const MAX_WAITING: usize = 1024;

/// The longest record; what is longer is cut.
const MAX_RECORD_BYTES: usize = 1 << 14;

/// Writes records on a thread of its own, which ends when this is dropped and all has been written.
#[derive(Debug)]
pub(super) struct Background {
    records: SyncSender<Vec<u8>>,
    lost: Arc<AtomicUsize>,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
}

impl Background {
    /// Starts the thread, on which `write` gets one record after another.
    pub(super) fn start(mut write: impl FnMut(&[u8]) + Send + 'static) -> io::Result<Self> {
        let (records, waiting) = sync_channel::<Vec<u8>>(MAX_WAITING);
        let (until_end, ended) = sync_channel(0);
        let lost = Arc::new(AtomicUsize::new(0));
        let lost_before = Arc::clone(&lost);
        thread::Builder::new().name("lacuna-log".to_owned()).spawn(move || {
            let _until_end: SyncSender<()> = until_end;
            for record in waiting {
                write(&record);
                let lost = lost_before.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    write(format!("lacuna: {lost} records were lost, for they came too fast\n").as_bytes());
                }
            }
        })?;
        Ok(Self { records, lost, ended })
    }

    /// Has the record written some time, or loses it.
    pub(super) fn send(&self, record: &[u8]) {
        let record = match record.get(..MAX_RECORD_BYTES) {
            Some(beginning) => [beginning, b" ...\n"].concat(),
            None => record.to_vec(),
        };
        if self.records.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all has been written, but no longer than `timeout`.
    pub(super) fn finish(self, timeout: Duration) {
        drop(self.records);
        // Nothing is ever sent, so that this waits for the thread's end.
        let _ = self.ended.recv_timeout(timeout);
    }
}
