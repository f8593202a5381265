//! Lines of pg_hba.conf.

use std::fmt;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// The password's MD5 form.
    Md5,
    /// SCRAM-SHA-256, and over TLS SCRAM-SHA-256-PLUS.
    ScramSha256,
    /// The password itself.
    Password,
    /// A client certificate whose common name is the database user. Only over TLS.
    Cert,
    /// Never.
    Reject,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Trust => "trust",
            Method::Md5 => "md5",
            Method::ScramSha256 => "scram-sha-256",
            Method::Password => "password",
            Method::Cert => "cert",
            Method::Reject => "reject",
        })
    }
}

/// Who may log in, over what, and how. From 127.0.0.1 and ::1 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    over: &'static str,
    database: String,
    user: String,
    method: Method,
    options: String,
}

impl Rule {
    /// Over TCP, with TLS or without.
    pub fn host(user: &str, method: Method) -> Self {
        Rule::new("host", user, method)
    }

    /// Over TCP with TLS.
    pub fn host_ssl(user: &str, method: Method) -> Self {
        Rule::new("hostssl", user, method)
    }

    /// Over TCP without TLS.
    pub fn host_no_ssl(user: &str, method: Method) -> Self {
        Rule::new("hostnossl", user, method)
    }

    /// Through the Unix socket.
    pub fn local(user: &str, method: Method) -> Self {
        Rule::new("local", user, method)
    }

    fn new(over: &'static str, user: &str, method: Method) -> Self {
        Rule {
            over,
            database: "all".to_owned(),
            user: user.to_owned(),
            method,
            options: String::new(),
        }
    }

    /// Only for this database.
    pub fn database(mut self, database: &str) -> Self {
        self.database = database.to_owned();
        self
    }

    /// Options of the method, `clientcert=verify-full` for one.
    pub fn options(mut self, options: &str) -> Self {
        self.options = options.to_owned();
        self
    }
}

/// The whole file: the superuser through the socket first, then the rules.
pub(super) fn file(rules: &[Rule]) -> String {
    let mut lines = "local all postgres trust\n".to_owned();
    for rule in rules {
        let addresses: &[&str] = match rule.over {
            "local" => &[""],
            _ => &["127.0.0.1/32", "::1/128"],
        };
        for address in addresses {
            lines.push_str(&format!(
                "{} {} {} {address} {} {}\n",
                rule.over, rule.database, rule.user, rule.method, rule.options
            ));
        }
    }
    lines
}
