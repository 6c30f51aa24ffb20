//! A client of the service, in memory and on its thread, so that instructions can be counted. What the service is and how it
//! is observed is not known here.

use std::error::Error;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::callgrind::measured;
use crate::service::{ANSWER, PATH, observed};

/// Asks the service that is observed in this way, over a pipe in memory and on one thread with it; what it answered before
/// is not measured. How many requests ours counted, or were made.
///
/// # Errors
/// When the agent does not start, or an answer is not the service's.
pub fn ask_in_memory(how: &str, before: usize, requests: usize) -> Result<u64, Box<dyn Error>> {
    // a service has more than one thread, and libraries save a little where there is one alone, as in the bare one here
    let _other = std::thread::spawn(std::thread::park);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (router, agent) = {
        let _entered = runtime.enter();
        observed(how)?
    };
    let (mut client, server) = tokio::io::duplex(8 << 10);
    // routes are made once, as `axum::serve` does it, not for each request
    let service = hyper_util::service::TowerToHyperService::new(router.with_state(()));
    let connection = hyper::server::conn::http1::Builder::new();
    let serving =
        runtime.spawn(async move { connection.serve_connection(hyper_util::rt::TokioIo::new(server), service).await });
    runtime.block_on(ask(&mut client, before))?;
    measured(|| runtime.block_on(ask(&mut client, requests)))?;
    drop(client);
    runtime.block_on(serving)??;
    let counted = agent.map(|agent| {
        let snapshot = agent.snapshot();
        let family = snapshot.metrics.iter().find(|family| family.name == "http.server.request.duration");
        family.map_or(0, |family| family.histograms.iter().map(|series| series.histogram.count).sum())
    });
    Ok(counted.unwrap_or((before + requests) as u64))
}

async fn ask(client: &mut DuplexStream, requests: usize) -> Result<(), Box<dyn Error>> {
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: localhost:8080\r\nuser-agent: bench\r\naccept: */*\r\n\r\n");
    let mut buffer = vec![0; 4 << 10];
    for _ in 0..requests {
        client.write_all(request.as_bytes()).await?;
        let mut read = 0;
        while !buffer[..read].ends_with(ANSWER.as_bytes()) {
            read += client.read(&mut buffer[read..]).await?;
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(format!("answered {:?}", String::from_utf8_lossy(&buffer[..read])).into());
        }
    }
    Ok(())
}
