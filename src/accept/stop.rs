//! Stopping as a value that is handed on.

use tokio::sync::watch;

/// The hand that stops a server.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

/// The end that a server is handed.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A pair of the two.
pub fn stop_pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Stops accepting; running requests may finish. From any thread, as often as one likes.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Ends when the server is to stop; never when the [`Stopper`] was dropped without stopping.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the server is to stop.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }
}
