//! Tells of transitions: to commands, FIFOs, state files and webhooks.
//!
//! One task hears of all that happens and never waits. Whoever may be slow has a
//! task and a queue of its own, in which the newest state takes the place of one
//! that is still waiting; nobody holds up another, and nobody the driver.

mod event;
mod fifo;
mod group;
mod queue;
mod recipient;
mod scripts;
mod state_file;
mod teller;
#[cfg(test)]
mod tests;
mod trouble;
mod webhook;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use self::teller::Teller;
use crate::{config::Config, driver::notice::Notice, engine::InstanceId};

/// How long a stop waits for those who are told of it.
pub const STOP: Duration = Duration::from_secs(5);

/// Those who are told of transitions.
#[derive(Debug)]
pub struct Notifications {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Reload(Arc<Config>, Vec<InstanceId>),
    Stop(oneshot::Sender<()>),
}

impl Notifications {
    /// Starts to tell those in `config` of what comes out of `notices`. `ids` are
    /// those of the instances, in the order of the configuration.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        config: &Arc<Config>,
        ids: Vec<InstanceId>,
        notices: mpsc::UnboundedReceiver<Notice>,
    ) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let teller = Teller::new(config, ids);
        let task = tokio::spawn(serve(teller, notices, received));
        Self { orders, task }
    }

    /// Tells those in `config` from now on, `ids` as in [`start`](Self::start). Who is
    /// in both configurations keeps its queue, a FIFO stays open, and instances keep
    /// their states; of instances and groups that are gone it is told that they
    /// stop, of an instance that serves when it has let go. It comes before the driver
    /// hears of new instances.
    pub fn reload(&self, config: &Arc<Config>, ids: Vec<InstanceId>) {
        // The task ends with a stop only.
        let _ = self.orders.send(Order::Reload(Arc::clone(config), ids));
    }

    /// Tells that the daemon stops, and waits until all have heard of it, for
    /// [`STOP`] at most: commands that still run go on by themselves.
    pub async fn stop(self) {
        let (done, ended) = oneshot::channel();
        let _ = self.orders.send(Order::Stop(done));
        // If the task has panicked that was already printed.
        let _ = ended.await;
        let _ = self.task.await;
    }
}

async fn serve(
    mut teller: Teller,
    mut notices: mpsc::UnboundedReceiver<Notice>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    loop {
        let order = tokio::select! {
            biased;
            // First, as instances are new by an order before anything happens to them.
            order = orders.recv() => order,
            Some(notice) = notices.recv() => {
                teller.hear(notice);
                // What has happened together is told together, a group last.
                while let Ok(notice) = notices.try_recv() {
                    teller.hear(notice);
                }
                teller.tell_groups();
                continue;
            }
        };
        match order {
            Some(Order::Reload(config, ids)) => teller.reload(&config, ids),
            Some(Order::Stop(done)) => {
                // The driver has ended: this is all there is.
                while let Ok(notice) = notices.try_recv() {
                    teller.hear(notice);
                }
                teller.tell_groups();
                teller.stop().await;
                // Nobody waits any more if the daemon has been dropped.
                let _ = done.send(());
                return;
            }
            None => return,
        }
    }
}
