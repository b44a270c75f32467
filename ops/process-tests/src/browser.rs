//! A Chromium without a window, driven through the WebDriver protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::KilledOnDrop;
use crate::wait::PATIENCE;

/// A driver takes a free port of IPv4 and wants the same of IPv6, which another program may have.
const DRIVER_STARTS: u32 = 5;

/// A browser with one page. It ends when the value goes.
#[derive(Debug)]
pub struct Browser {
    driver: KilledOnDrop,
    /// Kept open: a driver that cannot say anything any more ends.
    _output: BufReader<ChildStdout>,
    address: String,
    session: String,
}

impl Browser {
    /// Starts `chromedriver` from the PATH and a browser of `width` by `height` pixels, in a dark room or not.
    ///
    /// # Panics
    /// When one of the two is not installed, or does not start.
    #[must_use]
    pub fn start(width: u32, height: u32, dark: bool) -> Self {
        let (driver, output, port) = (0..DRIVER_STARTS)
            .find_map(|_| start_driver())
            .expect("chromedriver says its port");
        let address = format!("127.0.0.1:{port}");
        let mut browser = Self {
            driver,
            _output: output,
            address,
            session: String::new(),
        };
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments}}}});
        let session = browser.ask("POST", "/session", &wanted);
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{id}");
        browser
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// What a script in the page gives.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        let script = json!({ "script": script, "args": [] });
        self.command("POST", "/execute/sync", &script)
    }

    /// What stands in the element with this id.
    ///
    /// # Panics
    /// When there is no such element.
    #[must_use]
    pub fn text(&self, id: &str) -> String {
        let text = self.run(&format!(
            "return document.getElementById('{id}').textContent"
        ));
        text.as_str().expect("text").to_owned()
    }

    /// What the page looks like, as PNG in base64.
    ///
    /// # Panics
    /// When the browser gives none.
    #[must_use]
    pub fn screenshot(&self) -> String {
        let picture = self.command("GET", "/screenshot", &Value::Null);
        picture.as_str().expect("a picture").to_owned()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let address = &self.address;
        let mut stream = TcpStream::connect(address).expect("chromedriver listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket of our own");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream
            .write_all(request.as_bytes())
            .expect("the request is sent");
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).expect("a body");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let value = answer["value"].clone();
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }
}

/// A running driver, what it still has to say, and its port.
fn start_driver() -> Option<(KilledOnDrop, BufReader<ChildStdout>, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is installed (apt-get install chromium-driver)");
    let output = driver.stdout.take().expect("it was asked for");
    let driver = KilledOnDrop(driver);
    let mut output = BufReader::new(output);
    let port = output
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
    Some((driver, output, port?))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that failed may have left the driver in any state; it is killed anyway.
        if !std::thread::panicking() && self.driver.0.try_wait().is_ok_and(|ended| ended.is_none())
        {
            self.command("DELETE", "", &Value::Null);
        }
    }
}
