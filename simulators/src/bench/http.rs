//! The service's HTTP server as a scraper asks it: one request a connection, and metrics by name.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A busy service answers later; one that does not answer at all is broken.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks for `path`. Cancel safe.
///
/// # Errors
/// If nobody answers, or not in HTTP.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let answered = timeout(ANSWER_PATIENCE, ask(address, path)).await;
    let text = answered.with_context(|| format!("no answer from http://{address}{path}"))?;
    let text = text.with_context(|| format!("asking http://{address}{path}"))?;
    answer(&text).with_context(|| format!("http://{address}{path} does not answer in HTTP"))
}

/// The metrics at `address`. Cancel safe.
///
/// # Errors
/// As [`get`]; also if they are not told.
pub(super) async fn metrics(address: SocketAddr) -> Result<Metrics> {
    let answer = get(address, "/metrics").await?;
    ensure!(answer.status == 200, "http://{address}/metrics answers {}", answer.status);
    Ok(Metrics::parse(&answer.body))
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// Metrics in Prometheus' text format: the sum over the labels of each.
#[derive(Debug, Default)]
pub(super) struct Metrics(HashMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let mut sums = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let name = series.split('{').next().unwrap_or(series);
            *sums.entry(name.to_owned()).or_default() += value;
        }
        Self(sums)
    }

    /// The sum of a metric over its labels; 0 where there is none, for one that has never counted.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The same of a counter, which is whole.
    pub(super) fn count(&self, name: &str) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter is whole and positive"
        )]
        let count = self.sum(name) as u64;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text =
            "# HELP a_total Things.\na_total{kind=\"x y\"} 2\na_total{kind=\"z\"} 3\nb 0.5\n";
        let metrics = Metrics::parse(text);
        assert_eq!((metrics.count("a_total"), metrics.sum("b")), (5, 0.5));
        assert_eq!(metrics.count("never_counted"), 0);
    }

    #[test]
    fn an_answer_has_status_and_body() {
        let answer = answer("HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nnot\r\n\r\nready");
        let answer = answer.expect("HTTP");
        assert_eq!((answer.status, answer.body.as_str()), (503, "not\r\n\r\nready"));
        assert!(super::answer("nonsense").is_none());
    }
}
