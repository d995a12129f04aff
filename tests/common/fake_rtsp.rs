//! A network camera of a few lines that answers RTSP as a test wants it to, and remembers what it
//! was asked. It sends no picture.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request, as its lines.
#[derive(Clone, Debug)]
pub struct Request(Vec<String>);

impl Request {
    /// `SETUP`.
    pub fn method(&self) -> &str {
        self.0[0].split(' ').next().unwrap()
    }

    /// The value of this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.0.iter().find(|line| {
            line.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase()))
        })?;
        Some(line.split_once(':').unwrap().1.trim())
    }

    /// The transport it asks for, in one word.
    pub fn transport(&self) -> Option<&'static str> {
        let asked = self.header("Transport")?;
        Some(match asked {
            _ if asked.contains("TCP") => "tcp",
            _ if asked.contains("multicast") => "multicast",
            _ => "udp",
        })
    }
}

/// The camera. Its threads end with the test's process.
pub struct FakeCamera {
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl FakeCamera {
    /// `answer`: status line and headers, each with its line end, without CSeq; a body after an
    /// empty line.
    pub fn start(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::default());
        let (told, answer) = (Arc::clone(&heard), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, answer) = (Arc::clone(&told), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &told, &*answer));
            }
        });
        Self { port, heard }
    }

    /// All requests so far.
    pub fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }

    /// How many of them logged in.
    pub fn logins(&self) -> usize {
        self.heard().iter().filter(|request| request.header("Authorization").is_some()).count()
    }

    /// Its address; `login` is empty or ends in '@'.
    pub fn url(&self, login: &str) -> String {
        format!("rtsp://{login}127.0.0.1:{}/cam", self.port)
    }
}

fn serve(stream: TcpStream, told: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> String) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut stream = stream;
    loop {
        let request: Vec<_> =
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        if request.is_empty() {
            return;
        }
        let request = Request(request);
        told.lock().unwrap().push(request.clone());
        let (status, rest) =
            answer(&request).split_once("\r\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let rest = if rest.contains("\r\n\r\n") { rest } else { format!("{rest}\r\n") };
        let cseq = request.header("CSeq").unwrap_or("0").to_owned();
        if stream
            .write_all(format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{rest}").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

/// What a camera answers that lets everybody in, agrees to the transports in `taken`, and sends
/// nothing.
pub fn silent(request: &Request, taken: &[&str]) -> String {
    match request.method() {
        "OPTIONS" => "200 OK\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".into(),
        "DESCRIBE" => {
            let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";
            format!(
                "200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                sdp.len()
            )
        }
        "SETUP" => {
            let asked = request.transport().unwrap();
            if !taken.contains(&asked) {
                return "461 Unsupported Transport\r\n".into();
            }
            let wish = request.header("Transport").unwrap();
            let more =
                if asked == "udp" { ";server_port=40000-40001;source=127.0.0.1" } else { "" };
            format!(
                "200 OK\r\nSession: 1\r\nTransport: {}{more}\r\n",
                wish.split(',').next().unwrap()
            )
        }
        _ => "200 OK\r\nSession: 1\r\n".into(),
    }
}
