//! Which frame of a stack is the call site: the innermost one of the service's own code. Pure.

use std::path::Path;

use heartline_shared::snapshot::HeapSite;

use crate::symbols::Frame;

/// Crates that allocate on behalf of others, where only names are known.
const BROKERS: &[&str] = &[
    "alloc",
    "anyhow",
    "axum",
    "axum_core",
    "backtrace",
    "bytes",
    "core",
    "crossbeam_channel",
    "crossbeam_deque",
    "crossbeam_epoch",
    "crossbeam_utils",
    "dashmap",
    "futures_channel",
    "futures_core",
    "futures_executor",
    "futures_util",
    "h2",
    "hashbrown",
    "heartline",
    "http",
    "http_body",
    "http_body_util",
    "hyper",
    "hyper_util",
    "indexmap",
    "log",
    "matchit",
    "mio",
    "moka",
    "once_cell",
    "parking_lot",
    "parking_lot_core",
    "rayon",
    "rayon_core",
    "redis",
    "reqwest",
    "rustls",
    "serde",
    "serde_json",
    "slab",
    "smallvec",
    "sqlx",
    "sqlx_core",
    "std",
    "tikv_jemallocator",
    "tokio",
    "tokio_rustls",
    "tokio_util",
    "tonic",
    "tower",
    "tower_http",
    "tower_service",
    "tracing",
    "tracing_core",
    "tracing_subscriber",
    "url",
];
/// How functions of the allocator begin that the compiler and jemalloc's build make, wherever they say that they are. Other
/// names of C and of the language's runtime have no file, or one that is not Rust.
const ALLOCATOR: &[&str] = &["__rust", "__rdl_", "__rg_", "_rjem_"];
/// Folders of sources that are not the service's own: the language's, and packages from registries and repositories.
const FOREIGN: &[&str] = &["/rustc/", "/library/core/", "/library/alloc/", "/library/std/"];
const PACKAGES: &[&str] = &["/registry/src/", "/git/checkouts/", "/vendor/"];

/// Whose code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The language, its library, the allocator.
    Runtime,
    /// A package that the service uses.
    Package,
    /// The service.
    Service,
}

/// The innermost frame of the service's code; without one, of a package's; `None` when all are the runtime's.
/// `frames` are those of a stack, innermost first.
pub(super) fn call_site(frames: impl IntoIterator<Item = Frame>) -> Option<Frame> {
    let mut package = None;
    for frame in frames {
        match owner(&frame) {
            Owner::Service => return Some(frame),
            Owner::Package if package.is_none() => package = Some(frame),
            Owner::Package | Owner::Runtime => {}
        }
    }
    package
}

fn owner(frame: &Frame) -> Owner {
    let function = frame.function.as_ref();
    if ALLOCATOR.iter().any(|start| function.starts_with(start)) {
        return Owner::Runtime;
    }
    match frame.file.as_deref() {
        Some(file) => of_path(file),
        None => of_name(function),
    }
}

fn of_path(file: &str) -> Owner {
    let is_rust = Path::new(file).extension().is_some_and(|extension| extension == "rs");
    let within = |folders: &[&str]| folders.iter().any(|folder| file.contains(folder));
    match () {
        () if within(FOREIGN) || !is_rust => Owner::Runtime,
        () if within(PACKAGES) => Owner::Package,
        () => Owner::Service,
    }
}

/// By the first crate in the name: `<alloc::vec::Vec<T> as …>::extend` is `alloc`.
fn of_name(function: &str) -> Owner {
    let start =
        function.trim_start_matches(['<', '&', '*', '(', '[']).trim_start_matches("mut ").trim_start_matches("dyn ");
    let name = start.split("::").next().unwrap_or_default();
    match name {
        "core" | "alloc" | "std" | "hashbrown" | "tikv_jemallocator" => Owner::Runtime,
        // a name of no crate: of C, or of a primitive type
        _ if !start.contains("::") => Owner::Runtime,
        _ if BROKERS.contains(&name) => Owner::Package,
        _ => Owner::Service,
    }
}

/// The frame as a call site, its path from the package's folder on.
pub(super) fn spelled(frame: &Frame) -> HeapSite {
    let file = frame.file.as_deref().map(|file| shortened(file).to_owned());
    HeapSite { function: spoken(&frame.function).to_owned(), file, line: frame.line, ..HeapSite::default() }
}

/// A name for people: the compiler calls the bodies of async functions and of closures that it inlined `{async_fn#0}<…>`
/// and the like, without saying whose they are. File and line do.
fn spoken(function: &str) -> &str {
    let own = [("{async_fn", "async fn"), ("{async_block", "async block"), ("{closure", "closure")];
    own.iter().find(|(start, _)| function.starts_with(start)).map_or(function, |(_, spoken)| spoken)
}

/// A path from the folder before `src` on, else its last two parts.
fn shortened(path: &str) -> &str {
    let from = path.rfind("/src/").or_else(|| path.rfind('/')).unwrap_or(0);
    match path[..from].rfind('/') {
        Some(before) => &path[before + 1..],
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: Option<&str>) -> Frame {
        Frame { function: function.into(), file: file.map(Into::into), line: Some(7) }
    }

    fn site(frames: &[(&str, Option<&str>)]) -> Option<String> {
        let frames = frames.iter().map(|(function, file)| frame(function, *file));
        call_site(frames).map(|frame| frame.function.to_string())
    }

    const REGISTRY: &str = "/root/.cargo/registry/src/index.crates.io-1949/moka-0.12.16/src/cht.rs";
    const STD: &str = "/rustc/59807616e1fa/library/alloc/src/raw_vec/mod.rs";

    #[test]
    fn with_lines_the_innermost_file_of_the_service_is_the_site() {
        let stack = [
            ("prof_backtrace_impl", Some("src/prof.c")),
            ("_rjem_malloc", None),
            ("grow_amortized<u8>", Some(STD)),
            ("insert<K>", Some(REGISTRY)),
            ("fill", Some("/srv/shop/src/faults/fill.rs")),
            ("main", Some("/srv/shop/src/main.rs")),
        ];
        assert_eq!(site(&stack).as_deref(), Some("fill"));
        assert_eq!(site(&stack[..4]).as_deref(), Some("insert<K>"), "else the package's");
        assert_eq!(site(&stack[5..]).as_deref(), Some("main"), "of the service");
        assert_eq!(site(&stack[..3]), None);
    }

    #[test]
    fn with_names_alone_the_crate_tells() {
        let stack = [
            ("_rjem_je_prof_backtrace", None),
            ("<alloc::vec::Vec<T,A> as core::iter::traits::collect::Extend<T>>::extend", None),
            ("hashbrown::raw::RawTable<T,A>::reserve_rehash", None),
            ("tokio::runtime::task::raw::poll", None),
            ("<shop::orders::Orders as tower::Service<R>>::call", None),
            ("std::rt::lang_start", None),
            ("main", None),
        ];
        assert_eq!(site(&stack).as_deref(), Some("<shop::orders::Orders as tower::Service<R>>::call"));
        assert_eq!(site(&stack[..4]).as_deref(), Some("tokio::runtime::task::raw::poll"));
        assert_eq!(site(&stack[5..]), None);
    }

    #[test]
    fn a_function_of_the_service_is_its_own_whatever_its_name_begins_with() {
        let own = Some("/srv/shop/src/catalogue.rs");
        for name in ["clone_catalogue", "malloc_pool", "realloc_rows<u8>", "prof_ile", "je_ne_sais", "_startup", "main"]
        {
            assert_eq!(site(&[(name, own), ("serve", own)]).as_deref(), Some(name));
        }
        // without files, its crates are its own as well
        for name in ["clone_farm::sheep::grow", "prof_tools::run", "mallocated::keep"] {
            assert_eq!(site(&[("_rjem_malloc", None), (name, None)]).as_deref(), Some(name));
        }
        for (name, file) in [
            ("__rust_alloc", own),
            ("__rustc[1e96]::__rust_realloc", own),
            ("__rdl_alloc_zeroed", own),
            ("__rg_alloc", own),
            ("_rjem_je_malloc_default", own),
            ("je_prof_sample", None),
            ("prof_tctx_create", Some("/build/jemalloc/src/prof.c")),
            ("calloc", None),
            ("clone", Some("../sysdeps/unix/sysv/linux/x86_64/clone.S")),
            ("start_thread", Some("./nptl/pthread_create.c")),
            ("_start", None),
            ("__libc_start_main", None),
            ("_Unwind_Backtrace", None),
            ("main", None),
            ("clone<alloc::string::String>", Some(STD)),
        ] {
            assert_eq!(site(&[(name, file)]), None, "{name}");
        }
    }

    #[test]
    fn a_body_without_a_name_of_its_own_is_called_what_it_is() {
        for (name, text) in [
            ("{async_fn#0}<shop::Event, core::pin::Pin<T>>", "async fn"),
            ("{closure#3}", "closure"),
            ("shop::load::{{closure}}", "shop::load::{{closure}}"),
            ("shop::load", "shop::load"),
        ] {
            assert_eq!(spoken(name), text, "{name}");
        }
    }

    #[test]
    fn a_path_begins_with_the_folder_of_the_package() {
        for (path, short) in [
            ("/home/ci/work/shop/src/faults/leak.rs", "shop/src/faults/leak.rs"),
            ("shop/src/main.rs", "shop/src/main.rs"),
            ("src/main.rs", "src/main.rs"),
            ("/a/b/examples/replay.rs", "examples/replay.rs"),
            ("main.rs", "main.rs"),
            ("", ""),
        ] {
            assert_eq!(shortened(path), short, "{path}");
        }
    }
}
