//! Which API and operation a request means.

use std::rc::Rc;

use tollgate_pricing::gate::{Api, GateCatalog, Operation};

use crate::request::path::{unescaped, without_parameters};
use crate::request::{Path, Request};

/// The operation of an API that lists none.
const ANY_OPERATION: &str = "*";

/// An API and an operation by their ids, as reports name them.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct RouteName {
    /// The API's id.
    pub api: String,
    /// The operation's id; `*` in an API that lists none.
    pub operation: String,
}

/// What a request meant.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its names.
    pub name: Rc<RouteName>,
    /// Passes without a key, and bills nothing.
    pub open: bool,
    /// What a call of it weighs.
    pub weight: u32,
}

/// A request that is one operation here, and may be another one to the API behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ambiguous;

/// A catalog's APIs, ready to match: the most specific first.
#[derive(Debug)]
pub struct Routes(Vec<Prefix>);

#[derive(Debug)]
struct Prefix {
    host: Option<Vec<u8>>,
    path: Vec<u8>,
    operations: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    method: Option<Vec<u8>>,
    path: Vec<u8>,
    route: Route,
}

/// How texts of a request are compared with those of a catalog: as this gate does, or as a server
/// may that does any of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Reading {
    /// It ignores the case of paths.
    any_case: bool,
    /// It ignores the case of methods.
    any_method_case: bool,
    escapes: Escapes,
}

/// What a server makes of escapes that need not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Escapes {
    /// It leaves them.
    #[default]
    Kept,
    /// It undoes them.
    Undone,
    /// It looks for `;parameters` after that.
    UndoneAndCut,
}

impl Reading {
    /// Every way to read a request, its own first: an ordinary one has two.
    fn all_of(request: &Request) -> impl Iterator<Item = (Self, &[u8])> {
        let Path { plain, literal } = &request.path;
        let paths = [Some(plain), literal.as_ref()].into_iter().flatten();
        let odd_method = request.method.iter().any(u8::is_ascii_lowercase);
        paths.flat_map(move |path| {
            let escapes: &[Escapes] = if path.contains(&b'%') {
                &[Escapes::Kept, Escapes::Undone, Escapes::UndoneAndCut]
            } else {
                &[Escapes::Kept]
            };
            escapes.iter().flat_map(move |escapes| {
                let methods: &[bool] = if odd_method { &[false, true] } else { &[false] };
                methods.iter().flat_map(move |any_method_case| {
                    [false, true].map(|any_case| {
                        let any_method_case = *any_method_case;
                        let reading = Self { any_case, any_method_case, escapes: *escapes };
                        (reading, path.as_slice())
                    })
                })
            })
        })
    }

    fn same(self, expected: &[u8], found: &[u8]) -> bool {
        let is_same = |a: u8, b: u8| a == b || (self.any_case && a.eq_ignore_ascii_case(&b));
        let found = match self.escapes {
            Escapes::Kept => return eq_by(expected, found.iter().copied(), is_same),
            Escapes::Undone => found,
            Escapes::UndoneAndCut => without_parameters(found),
        };
        eq_by(expected, unescaped(found), is_same)
    }

    fn same_method(self, expected: &[u8], found: &[u8]) -> bool {
        expected == found || (self.any_method_case && expected.eq_ignore_ascii_case(found))
    }
}

fn eq_by(
    expected: &[u8],
    mut found: impl Iterator<Item = u8>,
    is_same: impl Fn(u8, u8) -> bool,
) -> bool {
    expected.iter().all(|byte| found.next().is_some_and(|it| is_same(*byte, it)))
        && found.next().is_none()
}

impl Routes {
    /// Prepares a catalog's APIs.
    pub fn new(catalog: &GateCatalog) -> Self {
        let mut prefixes: Vec<Prefix> = catalog.apis.iter().map(Prefix::new).collect();
        // A named host before any host, then the longest path: the first match is the best.
        prefixes
            .sort_by_key(|prefix| (prefix.host.is_none(), std::cmp::Reverse(prefix.path.len())));
        Self(prefixes)
    }

    /// Whether a CORS preflight is one that some API here would get. Where a catalog lists OPTIONS
    /// as an operation, it is that operation.
    pub fn passes_preflight(&self, request: &Request) -> bool {
        let listed = Reading::all_of(request).any(|(reading, path)| {
            self.prefix(request, path, reading).is_some_and(|(prefix, rest)| {
                prefix.operations.iter().any(|template| {
                    template.method.as_ref().is_some_and(|method| method == b"OPTIONS")
                        && matches(&template.path, rest, reading)
                })
            })
        });
        !listed && self.prefix(request, &request.path.plain, Reading::default()).is_some()
    }

    /// The API and operation of a request, if any matches.
    ///
    /// Servers differ in what they take for the same path. What matches is compared with what
    /// would match if the API behind took `;parameters` for part of a name, undid escapes, or
    /// ignored case, in any combination: where it is another operation, calls would be counted as
    /// one and served as the other, so that they are refused. What nobody is metered for is only
    /// what is listed.
    pub fn find(&self, request: &Request) -> Result<Option<&Route>, Ambiguous> {
        let Some(route) = self.read_as(request, &request.path.plain, Reading::default()) else {
            return Ok(None);
        };
        let same = Reading::all_of(request).skip(1).all(|(reading, path)| {
            match self.read_as(request, path, reading) {
                Some(other) => Rc::ptr_eq(&other.name, &route.name),
                None => !route.open,
            }
        });
        if same { Ok(Some(route)) } else { Err(Ambiguous) }
    }

    fn read_as(&self, request: &Request, path: &[u8], reading: Reading) -> Option<&Route> {
        let (prefix, rest) = self.prefix(request, path, reading)?;
        let find = |method: &[u8], named_only: bool| {
            let fits = |template: &&Template| {
                let fits = template.method.as_ref().map(|it| reading.same_method(it, method));
                fits.unwrap_or(!named_only) && matches(&template.path, rest, reading)
            };
            prefix.operations.iter().find(fits).map(|template| &template.route)
        };
        // Servers answer HEAD as they do GET, so it is the same operation unless listed itself.
        if reading.same_method(b"HEAD", &request.method) {
            return find(b"HEAD", true).or_else(|| find(b"GET", false));
        }
        find(&request.method, false)
    }

    /// The best API, and what follows its prefix.
    fn prefix<'a>(
        &self,
        request: &Request,
        path: &'a [u8],
        reading: Reading,
    ) -> Option<(&Prefix, &'a [u8])> {
        self.0.iter().find_map(|prefix| {
            let host_fits = prefix.host.as_ref().is_none_or(|host| *host == request.host);
            let rest = if host_fits { prefix.rest(path, reading) } else { None };
            rest.map(|rest| (prefix, rest))
        })
    }
}

impl Prefix {
    fn new(api: &Api) -> Self {
        let any = Operation {
            id: ANY_OPERATION.to_owned(),
            method: None,
            path: "/*".to_owned(),
            open: false,
            weight: 1,
        };
        let operations = match api.operations.as_slice() {
            [] => vec![Template::new(api, &any)],
            listed => listed.iter().map(|operation| Template::new(api, operation)).collect(),
        };
        Self {
            host: api.host.as_ref().map(|host| host.clone().into_bytes()),
            path: api.path.trim_end_matches('/').as_bytes().to_vec(),
            operations,
        }
    }

    /// What follows the prefix, if the path has it as whole segments.
    fn rest<'a>(&self, path: &'a [u8], reading: Reading) -> Option<&'a [u8]> {
        let mut rest = path;
        for expected in self.path.split(|byte| *byte == b'/').skip(1) {
            let inside = rest.strip_prefix(b"/")?;
            let end = inside.iter().position(|byte| *byte == b'/').unwrap_or(inside.len());
            let (segment, after) = inside.split_at_checked(end)?;
            if !reading.same(expected, segment) {
                return None;
            }
            rest = after;
        }
        (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
    }
}

impl Template {
    fn new(api: &Api, operation: &Operation) -> Self {
        let name = RouteName { api: api.id.clone(), operation: operation.id.clone() };
        Self {
            method: operation.method.as_ref().map(|method| method.clone().into_bytes()),
            path: operation.path.clone().into_bytes(),
            route: Route { name: Rc::new(name), open: operation.open, weight: operation.weight },
        }
    }
}

/// Whether a path fits a template: `{name}` is one segment that is not empty, a final `*` is
/// whatever follows. A slash at the end makes no difference.
fn matches(template: &[u8], path: &[u8], reading: Reading) -> bool {
    let mut path = segments(path);
    for expected in segments(template) {
        if expected == b"*" {
            return true;
        }
        match path.next() {
            Some(found) if is_name(expected) && !found.is_empty() => {}
            Some(found) if !is_name(expected) && reading.same(expected, found) => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let whole = (!path.is_empty()).then_some(path);
    whole.into_iter().flat_map(|path| path.split(|byte| *byte == b'/'))
}

fn is_name(segment: &[u8]) -> bool {
    segment.starts_with(b"{") && segment.ends_with(b"}")
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::gate::{Answers, KeyPlaces};
    use tollgate_pricing::key::KeySecrets;

    use super::*;

    fn operation(id: &str, method: Option<&str>, path: &str) -> Operation {
        let method = method.map(str::to_owned);
        Operation {
            id: id.to_owned(),
            method,
            path: path.to_owned(),
            open: id == "health",
            weight: 1,
        }
    }

    fn api(id: &str, host: Option<&str>, path: &str, operations: Vec<Operation>) -> Api {
        Api { id: id.to_owned(), host: host.map(str::to_owned), path: path.to_owned(), operations }
    }

    fn routes() -> Routes {
        let items = vec![
            operation("cancel", Some("POST"), "/{id}/a:b"),
            operation("me", Some("GET"), "/Me"),
            operation("head", Some("HEAD"), "/odd"),
            operation("options", Some("OPTIONS"), "/{id}"),
            operation("one", Some("GET"), "/{id}"),
            operation("rest", None, "/*"),
        ];
        let address = vec![
            operation("validate", Some("POST"), "/validate"),
            operation("get", Some("GET"), "/{id}"),
            operation("files", None, "/files/*"),
            operation("health", Some("GET"), "/health/live"),
            operation("list", Some("GET"), "/"),
        ];
        Routes::new(&GateCatalog {
            revision: 1,
            secrets: KeySecrets::derive(&[0; 32]),
            key: KeyPlaces { header: "x-api-key".to_owned(), query: None, imported: false },
            max_stale_seconds: 900,
            answers: Answers::default(),
            apis: vec![
                api("all", None, "/", vec![]),
                api("address", None, "/address", address),
                api("items", None, "/items", items),
                api("deep", None, "/address/deep", vec![]),
                api("named", Some("api.example.com"), "/", vec![]),
            ],
            products: vec![],
        })
    }

    fn find(method: &str, host: &str, path: &str) -> String {
        let request = Request {
            method: method.into(),
            host: host.into(),
            path: Path::read_for_tests(path.as_bytes()),
            ..Request::default()
        };
        match routes().find(&request) {
            Err(Ambiguous) => "ambiguous".to_owned(),
            Ok(None) => "none".to_owned(),
            Ok(Some(Route { name, open, .. })) => {
                format!("{}.{}{}", name.api, name.operation, if *open { "!" } else { "" })
            }
        }
    }

    #[test]
    fn the_most_specific_api_then_its_first_operation() {
        let check = |method: &str, host: &str, path: &str, expected: &str| {
            assert_eq!(find(method, host, path), expected, "{method} {host} {path}");
        };
        check("POST", "", "/address/validate", "address.validate");
        check("POST", "", "/address/validate/", "address.validate");
        check("PUT", "", "/address/validate", "none");
        check("GET", "", "/address/17", "address.get");
        check("GET", "", "/address/17/x", "none");
        check("GET", "", "/address", "address.list");
        check("GET", "", "/address/", "address.list");
        check("GET", "", "/address/health/live", "address.health!");
        check("PUT", "", "/address/files", "address.files");
        check("PUT", "", "/address/files/a/b", "address.files");
        check("GET", "", "/address/deep/x", "deep.*");
        check("GET", "", "/addresses", "all.*");
        check("GET", "", "/", "all.*");
        check("GET", "api.example.com", "/address/17", "named.*");
        check("OPTIONS", "", "*", "none");
        check("GET", "", "", "all.*");
    }

    /// No way round an operation's limit: what an API may take for another operation is refused.
    #[test]
    fn an_operation_has_no_second_spelling() {
        let check = |method: &str, path: &str, expected: &str| {
            assert_eq!(find(method, "", path), expected, "{method} {path}");
        };
        // A server that ignores case.
        check("GET", "/items/Me", "items.me");
        check("GET", "/items/me", "ambiguous");
        check("GET", "/items/Mine", "items.one");
        check("GET", "/Items/17", "ambiguous");
        check("GET", "/ADDRESS/health/live", "ambiguous");
        check("GET", "/address/health/LIVE", "none");
        check("POST", "/address/Validate", "none");
        // One that undoes escapes of what a path may hold without.
        check("POST", "/items/7/a:b", "items.cancel");
        check("POST", "/items/7/a%3Ab", "ambiguous");
        check("GET", "/items/a%3Ab", "items.one");
        check("GET", "/items/%40", "items.one");
        // One that knows of no parameters, or looks for them after undoing escapes.
        check("GET", "/items/Me;v=1", "ambiguous");
        check("GET", "/items/Me%3Bv=1", "ambiguous");
        check("GET", "/items/Me%3bv/x", "items.rest");
        check("GET", "/items/17;v=1", "items.one");
        check("GET", "/items;v=1/17", "ambiguous");
        check("GET", "/address/17;v=1", "address.get");
        check("GET", "/address/health;v=1/live", "ambiguous");
        check("GET", "/address/health/live;v=1", "ambiguous");
        // One that takes any case of a method, and all that answer HEAD as GET.
        check("get", "/items/17", "ambiguous");
        check("Post", "/items/17", "items.rest");
        check("get", "/address/17", "none");
        check("HEAD", "/items/17", "items.one");
        check("HEAD", "/items/odd", "items.head");
        check("HEAD", "/address/17", "address.get");
        check("HEAD", "/address/validate", "address.get");
    }

    #[test]
    fn a_preflight_passes_where_an_api_is_and_options_is_no_operation() {
        let check = |path: &str, expected: bool| {
            let path = Path::read_for_tests(path.as_bytes());
            let request = Request { method: b"OPTIONS".to_vec(), path, ..Request::default() };
            assert_eq!(routes().passes_preflight(&request), expected);
        };
        check("/address/17", true);
        check("/items/17/x", true);
        check("/items/17", false);
        check("/ITEMS/17", false);
        check("*", false);
    }
}
