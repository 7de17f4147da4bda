//! A stand-in for the part of a cloud that addresses move in: the metadata
//! service, and the calls that give a public address to a machine.
//!
//! The network obeys: a client reaches a public address through the machine
//! that it was given to last. Real clouds take seconds for what this does at
//! once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use ha_common::time::Timestamp;

use crate::{
    clock,
    http::{Request, Response, Server},
    lab::{Host, INTERFACE},
    netns::Netns,
};

/// Where machines ask for what they are.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Port of the calls.
pub const API_PORT: u16 = 8080;

/// The secret that a call has to carry.
pub const TOKEN: &str = "not-so-secret";

/// A machine as the cloud knows it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its node.
    pub name: String,
    /// The address that its requests come from.
    pub address: Ipv4Addr,
    /// Its number: Droplet `n`, instance `i-n`.
    pub id: u32,
    /// Addresses that a public one can be mapped to; the first if none is asked for.
    pub private: Vec<Ipv4Addr>,
}

/// A public address.
#[derive(Clone, Debug)]
pub struct PublicAddress {
    /// It.
    pub address: Ipv4Addr,
    /// What Elastic IP calls know it by.
    pub allocation: String,
}

/// A call that was to give an address to a machine.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: Timestamp,
    /// The machine to get the address; whoever asked is the same.
    pub to: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Whether it was carried out.
    pub accepted: bool,
}

/// An event that a machine has posted (a webhook).
#[derive(Clone, Debug)]
pub struct Posted {
    /// The machine.
    pub by: String,
    /// The body.
    pub body: String,
    /// Whether it was taken.
    pub accepted: bool,
}

#[derive(Debug)]
struct State {
    tenants: Vec<Tenant>,
    publics: Vec<PublicAddress>,
    /// Who has each of `publics`.
    holders: Vec<Option<String>>,
    calls: Vec<Call>,
    posted: Vec<Posted>,
    refuse: u32,
    /// The client's namespace, whose routes are the network.
    network: Netns,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running stand-in.
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    _servers: [Server; 2],
}

impl Cloud {
    /// Answers on `host`: metadata at [`METADATA`], calls at `api`. `client` is
    /// who wants the public addresses. The tenants have to have a route to
    /// [`METADATA`].
    ///
    /// # Errors
    /// If an address cannot be had.
    pub fn start(
        host: &Host,
        api: Ipv4Addr,
        client: &Host,
        tenants: Vec<Tenant>,
        publics: Vec<PublicAddress>,
    ) -> Result<Self> {
        host.netns
            .ip(&format!("addr add {METADATA}/32 dev {INTERFACE}\n"))?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                tenants,
                holders: publics.iter().map(|_| None).collect(),
                publics,
                calls: Vec::new(),
                posted: Vec::new(),
                refuse: 0,
                network: client.netns.clone(),
            }),
            changed: Condvar::new(),
        });
        let server = |address: SocketAddr| {
            let shared = Arc::clone(&shared);
            Server::start(&host.netns, address, move |request| {
                let answer = shared.lock().answer(request);
                shared.changed.notify_all();
                answer
            })
        };
        Ok(Self {
            _servers: [
                server((METADATA, 80).into())?,
                server((api, API_PORT).into())?,
            ],
            shared,
        })
    }

    /// Refuses the next `count` calls and webhooks, as a cloud does that is busy.
    pub fn refuse(&self, count: u32) {
        self.shared.lock().refuse = count;
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// The webhooks so far.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.shared.lock().posted.clone()
    }

    /// Waits until `host` has `address`.
    ///
    /// # Errors
    /// If it takes longer than `timeout`.
    pub fn await_holder(&self, address: Ipv4Addr, host: &Host, timeout: Duration) -> Result<()> {
        self.wait(&format!("{} has {address}", host.name), timeout, |state| {
            state.holder(address) == Some(&host.name)
        })
    }

    /// Waits until a webhook was taken whose body holds all of `words`.
    ///
    /// # Errors
    /// If it takes longer than `timeout`.
    pub fn await_posted(&self, words: &[&str], timeout: Duration) -> Result<()> {
        self.wait(&format!("a webhook with {words:?}"), timeout, |state| {
            state.posted.iter().any(|posted| {
                posted.accepted && words.iter().all(|word| posted.body.contains(word))
            })
        })
    }

    fn wait(&self, what: &str, timeout: Duration, ready: impl Fn(&State) -> bool) -> Result<()> {
        let give_up_at = Instant::now() + timeout;
        let mut state = self.shared.lock();
        while !ready(&state) {
            let left = give_up_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "the cloud waited {timeout:?} for: {what}; calls: {:#?}, webhooks: {:#?}",
                    state.calls,
                    state.posted
                );
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }
}

impl State {
    fn holder(&self, address: Ipv4Addr) -> Option<&String> {
        let place = self
            .publics
            .iter()
            .position(|public| public.address == address)?;
        self.holders[place].as_ref()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let Some(tenant) = self
            .tenants
            .iter()
            .find(|tenant| request.from == tenant.address)
            .cloned()
        else {
            return Response::of(403, "not a machine of ours");
        };
        if let Some(path) = request.path.strip_prefix("/metadata/v1/") {
            return self.droplet(&tenant, path);
        }
        if let Some(path) = request.path.strip_prefix("/latest/") {
            return instance(request, &tenant, path);
        }
        if let Some(path) = request.path.strip_prefix("/v2/floating_ips/") {
            return self.floating_ip_action(request, &tenant, path);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/") => self.ec2(request, &tenant),
            ("POST", "/events") => {
                let accepted = !self.refuses();
                self.posted.push(Posted {
                    by: tenant.name,
                    body: request.body.clone(),
                    accepted,
                });
                Response::of(if accepted { 204 } else { 503 }, "")
            }
            _ => Response::of(404, "no such thing"),
        }
    }

    fn refuses(&mut self) -> bool {
        let refuses = self.refuse > 0;
        self.refuse = self.refuse.saturating_sub(1);
        refuses
    }

    /// Metadata of DigitalOcean's form.
    fn droplet(&self, tenant: &Tenant, path: &str) -> Response {
        match path {
            "id" => Response::ok(tenant.id.to_string()),
            "interfaces/private/0/ipv4/address" => Response::ok(tenant.address.to_string()),
            "floating_ip/ipv4/active" => Response::ok(
                self.holders
                    .iter()
                    .any(|holder| holder.as_ref() == Some(&tenant.name))
                    .to_string(),
            ),
            _ => Response::of(404, "no such metadata"),
        }
    }

    /// `POST /v2/floating_ips/ADDRESS/actions`.
    fn floating_ip_action(&mut self, request: &Request, tenant: &Tenant, path: &str) -> Response {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Response::of(401, r#"{"id":"unauthorized"}"#);
        }
        let address = path
            .strip_suffix("/actions")
            .and_then(|address| address.parse().ok());
        let wanted: Option<serde_json::Value> = serde_json::from_str(&request.body).ok();
        let (Some(address), Some(wanted)) = (address, wanted) else {
            return Response::of(400, r#"{"id":"bad_request"}"#);
        };
        if wanted["type"] != "assign" || wanted["droplet_id"] != tenant.id {
            return Response::of(400, r#"{"id":"bad_request"}"#);
        }
        if self.assign(tenant, address, None) {
            Response::of(201, r#"{"action":{"status":"in-progress"}}"#)
        } else {
            Response::of(
                422,
                r#"{"id":"unprocessable_entity","message":"The floating IP already has a pending event."}"#,
            )
        }
    }

    /// The two calls of EC2's that move Elastic IP addresses.
    fn ec2(&mut self, request: &Request, tenant: &Tenant) -> Response {
        // That the signature is right is EC2's to say; that there is one, over
        // the session token too, is enough here.
        let signed = request.header("authorization").is_some_and(|value| {
            value.starts_with(&format!("AWS4-HMAC-SHA256 Credential=key-{}/", tenant.id))
                && value.contains("/eu-test-1/ec2/aws4_request")
                && value.contains("x-amz-security-token")
        });
        if !signed || request.header("x-amz-security-token") != Some(TOKEN) {
            return error(401, "AuthFailure");
        }
        let field = |name: &str| {
            request.body.split('&').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key == name).then(|| value.to_owned())
            })
        };
        let allocation = field("AllocationId").or_else(|| field("AllocationId.1"));
        let Some(place) = self
            .publics
            .iter()
            .position(|public| Some(&public.allocation) == allocation.as_ref())
        else {
            return error(400, "InvalidAllocationID.NotFound");
        };
        match field("Action").as_deref() {
            Some("DescribeAddresses") => {
                let instance = self.holders[place]
                    .as_ref()
                    .and_then(|holder| self.tenants.iter().find(|tenant| tenant.name == *holder))
                    .map_or_else(String::new, |tenant| {
                        format!("<instanceId>i-{}</instanceId>", tenant.id)
                    });
                Response::ok(format!(
                    "<DescribeAddressesResponse><addressesSet><item>{instance}</item>\
                     </addressesSet></DescribeAddressesResponse>"
                ))
            }
            Some("AssociateAddress") => {
                if field("InstanceId") != Some(format!("i-{}", tenant.id))
                    || field("AllowReassociation").as_deref() != Some("true")
                {
                    return error(400, "InvalidParameterValue");
                }
                let private = field("PrivateIpAddress").and_then(|address| address.parse().ok());
                if self.assign(tenant, self.publics[place].address, private) {
                    Response::ok(
                        "<AssociateAddressResponse><return>true</return></AssociateAddressResponse>",
                    )
                } else {
                    error(503, "RequestLimitExceeded")
                }
            }
            _ => error(400, "InvalidAction"),
        }
    }

    fn assign(&mut self, tenant: &Tenant, address: Ipv4Addr, private: Option<Ipv4Addr>) -> bool {
        let place = self
            .publics
            .iter()
            .position(|public| public.address == address);
        let via = match private {
            None => tenant.private.first(),
            Some(private) => tenant.private.iter().find(|its| **its == private),
        };
        let (Some(place), Some(via)) = (place, via) else {
            return false;
        };
        let accepted = !self.refuses()
            && match self
                .network
                .ip(&format!("route replace {address}/32 via {via}\n"))
            {
                Ok(()) => true,
                Err(error) => {
                    eprintln!("cloud: {error:#}");
                    false
                }
            };
        self.calls.push(Call {
            at: clock::now(),
            to: tenant.name.clone(),
            address,
            accepted,
        });
        if accepted {
            self.holders[place] = Some(tenant.name.clone());
        }
        accepted
    }
}

/// Metadata of EC2's form, which wants a session first.
fn instance(request: &Request, tenant: &Tenant, path: &str) -> Response {
    if (request.method.as_str(), path) == ("PUT", "api/token") {
        return Response::ok(format!("session-{}", tenant.id));
    }
    if request.header("x-aws-ec2-metadata-token") != Some(&format!("session-{}", tenant.id)) {
        return Response::of(401, "no session");
    }
    match path {
        "meta-data/instance-id" => Response::ok(format!("i-{}", tenant.id)),
        "meta-data/placement/region" => Response::ok("eu-test-1"),
        "meta-data/iam/security-credentials/" => Response::ok("vip-mover"),
        "meta-data/iam/security-credentials/vip-mover" => Response::ok(format!(
            "{{\n  \"Code\" : \"Success\",\n  \"AccessKeyId\" : \"key-{}\",\n  \
             \"SecretAccessKey\" : \"secret\",\n  \"Token\" : \"{TOKEN}\"\n}}\n",
            tenant.id
        )),
        _ => Response::of(404, "no such metadata"),
    }
}

fn error(status: u16, code: &str) -> Response {
    Response::of(
        status,
        format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>"),
    )
}
