//! Serves image classifiers over HTTP.
//!
//! [`run`] serves until a signal ends it, [`Server`] inside another program. A [`ModelSource`] says where a
//! model comes from, such as [`FromFile`]; it is loaded again when its file changes. [`Settings`] and [`Limits`]
//! bound what the service takes: past a limit a request is refused at once, as a JSON problem (RFC 9457).
//!
//! ```
//! use resnet::{Cpu, Dtype};
//! use resnet_serve::{FromFile, Log, ModelSource, Server, Settings};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::{net::TcpStream, sync::{mpsc, oneshot}};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A model file, a run folder, or the network that ships with the library.
//!     let model: Box<dyn ModelSource> = Box::new(FromFile::new("demo", Dtype::Fp32, &Cpu::new(2)?));
//!     let settings = Settings { address: ([127, 0, 0, 1], 0).into(), ..Settings::default() };
//!     let log = Log::new(|line| eprintln!("{line}"));
//!     let server = Server::bind(settings, vec![("demo".to_owned(), model)], log).await?;
//!     let address = server.address(); // with the port that the system chose
//!
//!     let (stop, stopped) = oneshot::channel::<()>();
//!     let (_reload, reloads) = mpsc::channel(1);
//!     let until = async { let _ = stopped.await; };
//!     let serving = tokio::spawn(server.run(until, reloads));
//!
//!     let mut client = TcpStream::connect(address).await?;
//!     let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
//!     client.write_all(request.as_bytes()).await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
//!
//!     drop(stop); // as does a message
//!     serving.await??;
//!     Ok(())
//! }
//! ```
//!
//! | path | what it does |
//! |---|---|
//! | `POST /v1/predict`, `/v1/models/{name}/predict` | classes of photos: an image, a form, or JSON with base64 |
//! | `/v2` | the Open Inference Protocol: metadata, state, `POST /v2/models/{name}/infer` |
//! | `/healthz`, `/readyz`, `/metrics` | for what watches over it |
//! | `/openapi.json` | the interface for programs |
//! | `/` | a page for people |
//!
//! Photos become answers on threads of their own (`work`): some decode, one computes what is ready, in
//! batches. What is computed for an image is bit-identical in every batch.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod app;
mod blocking;
mod details;
mod from_file;
mod handlers;
mod held;
mod infer;
mod log;
mod metrics;
mod problem;
mod registry;
mod request;
mod run;
mod served;
mod server;
mod service;
mod settings;
mod unread;
mod work;
mod write_timeout;

#[cfg(test)]
mod tests;

pub use from_file::FromFile;
pub use log::Log;
pub use registry::{LoadError, ModelSource};
pub use run::run;
pub use server::{ServeError, Server};
pub use settings::{Limits, Settings};
