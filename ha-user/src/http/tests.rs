//! Against servers of our own on the loopback interface.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// Long enough for the busiest machine.
const LONG: Duration = Duration::from_secs(30);

/// A server that gives `answer` to the first request; its result is the request.
async fn server(answer: Vec<u8>) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        // Headers, and the body that is announced in them.
        loop {
            let length = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&request);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let expected = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= expected {
                break;
            }
        }
        // A client that has what it wants resets the connection.
        let _ = stream.write_all(&answer).await;
        let _ = stream.read(&mut buffer).await;
        String::from_utf8(request).unwrap()
    });
    (port, task)
}

fn local(port: u16) -> Server {
    Server::new("127.0.0.1", port, None, None).unwrap()
}

#[tokio::test]
async fn a_request_has_what_servers_ask_for() {
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    let (port, request) = server(answer.to_vec()).await;
    let answer = local(port).get("/health?x=1", false, LONG).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let request = request.await.unwrap();
    assert!(
        request.starts_with("GET /health?x=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: 127.0.0.1:{port}\r\n")),
        "{request}"
    );
    assert!(request.contains("user-agent: harrier/"), "{request}");
}

#[tokio::test]
async fn another_host_may_be_asked_for() {
    let (port, request) = server(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).await;
    let asked = Server::new("127.0.0.1", port, None, Some("www.example.org")).unwrap();
    asked.get("/", false, LONG).await.unwrap();
    let request = request.await.unwrap();
    assert!(request.contains("host: www.example.org\r\n"), "{request}");
    for bad in ["", "two words", "a/b"] {
        assert!(
            Server::new("127.0.0.1", port, None, Some(bad)).is_err(),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nall \r\n4\r\nwell\r\n0\r\n\r\n";
    let (port, _request) = server(chunked.to_vec()).await;
    let answer = local(port).get("/", true, LONG).await.unwrap();
    assert_eq!(answer.body, b"all well");

    // Without an end: it has to stop by itself.
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(endless.len() + 2 * MAX_BODY, b'x');
    let (port, _request) = server(endless).await;
    let answer = local(port).get("/", true, LONG).await.unwrap();
    assert_eq!(answer.body.len(), MAX_BODY);
}

#[tokio::test]
async fn json_is_posted_with_its_headers() {
    let (port, request) = server(b"HTTP/1.1 202 Accepted\r\n\r\n".to_vec()).await;
    let headers = [("Authorization".to_owned(), "Bearer secret".to_owned())];
    let answer = local(port)
        .post_json("/hook", &headers, "{\"state\":\"MASTER\"}".to_owned(), LONG)
        .await
        .unwrap();
    assert_eq!(answer.status, 202);
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    for header in [
        "authorization: Bearer secret\r\n",
        "content-type: application/json\r\n",
        "content-length: 18\r\n",
    ] {
        assert!(request.contains(header), "{request}");
    }
    assert!(
        request.ends_with("\r\n\r\n{\"state\":\"MASTER\"}"),
        "{request}"
    );
}

/// What is said of a request that fails.
async fn failure(server: &Server, within: Duration) -> String {
    let headers = [("x-key".to_owned(), "secret".to_owned())];
    let result = server
        .post_json("/secret?secret", &headers, "secret".to_owned(), within)
        .await;
    let error = result.expect_err("an answer");
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
    error.to_string()
}

#[tokio::test]
async fn errors_name_the_step_and_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = failure(&local(port), LONG).await;
    let start = format!("connecting to 127.0.0.1:{port}: ");
    assert!(refused.starts_with(&start), "{refused}");

    // Never accepted, but the kernel takes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = failure(&local(port), Duration::from_millis(50)).await;
    assert_eq!(silent, "waiting for the answer: nothing within 50ms");

    let tls = Server::new("127.0.0.1", port, Some(false), None).unwrap();
    let silent = failure(&tls, Duration::from_millis(50)).await;
    assert_eq!(silent, "TLS with 127.0.0.1: nothing within 50ms");

    let (port, _request) = server(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
    let strange = failure(&local(port), LONG).await;
    assert!(strange.starts_with("waiting for the answer: "), "{strange}");

    let (port, _request) = server(Vec::new()).await;
    let bad = [("a b".to_owned(), String::new())];
    let error = local(port).post_json("/", &bad, String::new(), LONG).await;
    let error = error.expect_err("an answer").to_string();
    assert!(error.contains("a header has characters"), "{error}");
}
