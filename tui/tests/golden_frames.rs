//! Golden frames: every view at 40x12, 80x24 and 160x50, and the first screen in the states that matter at night. What
//! the numbers mean is tested where they are computed.

mod screen;

use std::sync::Arc;
use std::time::Duration;

use heartline_tui::screen::View;
use heartline_tui::source::traces::Told;
use heartline_tui::views::Theme;
use screen::{Picture, leaking_shop, quiet_shop, shop_without_connections};

/// The sizes of the promise: what is missing is said, the essential is readable, more is shown.
const SIZES: [(u16, u16); 3] = [(40, 12), (80, 24), (160, 50)];

fn every_size(name: &str, picture: &Picture) {
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), picture.drawn(width, height));
    }
}

fn view(view: View) -> Picture {
    let mut picture = quiet_shop();
    picture.screen.view = view;
    picture
}

#[test]
fn overview_of_a_quiet_service() {
    every_size("overview", &view(View::Overview));
}

#[test]
fn requests_fit_every_size() {
    every_size("requests", &view(View::Requests));
}

#[test]
fn queries_fit_every_size() {
    every_size("queries", &view(View::Queries));
}

#[test]
fn pools_fit_every_size() {
    every_size("pools", &view(View::Pools));
}

#[test]
fn caches_fit_every_size() {
    every_size("caches", &view(View::Caches));
}

#[test]
fn queues_fit_every_size() {
    every_size("queues", &view(View::Queues));
}

#[test]
fn heap_fits_every_size() {
    every_size("heap", &view(View::Heap));
}

#[test]
fn heap_of_a_leak_names_the_sites_that_grow() {
    let mut picture = leaking_shop();
    picture.screen.view = View::Heap;
    every_size("heap_leaking", &picture);
}

#[test]
fn runtime_fits_every_size() {
    every_size("runtime", &view(View::Runtime));
}

#[test]
fn alerts_fit_every_size() {
    every_size("alerts", &view(View::Alerts));
}

#[test]
fn targets_fit_every_size() {
    every_size("targets", &view(View::Targets));
}

#[test]
fn help_fits_every_size() {
    let mut picture = view(View::Overview);
    picture.screen.help = Some(0);
    every_size("help", &picture);
}

#[test]
fn overview_while_alerts_fire() {
    every_size("overview_firing", &shop_without_connections());
}

#[test]
fn alerts_while_they_fire() {
    let mut picture = shop_without_connections();
    picture.screen.view = View::Alerts;
    every_size("alerts_firing", &picture);
}

#[test]
fn wrong_rules_are_told_beside_the_figures() {
    let mut picture = shop_without_connections();
    picture.misread_rules();
    every_size("overview_wrong_rules", &picture);
}

#[test]
fn wrong_rules_are_explained_above_the_alerts() {
    let mut picture = view(View::Alerts);
    picture.misread_rules();
    every_size("alerts_wrong_rules", &picture);
    assert!(!picture.drawn(160, 50).contains('\u{1b}'));
    picture.problems.mistakes.truncate(1);
    assert!(picture.drawn(80, 24).contains(" 1 mistake in alerts.toml "));
}

#[test]
fn overview_of_a_target_that_went_down() {
    let mut picture = quiet_shop();
    picture.go_down(Duration::from_secs(133));
    every_size("overview_down", &picture);
}

#[test]
fn what_was_last_measured_stays_and_what_is_unknown_is_never_nothing() {
    let mut picture = leaking_shop();
    picture.targets[0].queues[0].waiting = Some(6_000);
    picture.go_down(Duration::from_secs(133));
    let shown = picture.drawn(160, 50);
    for known in ["LEAK SUSPECTED", "6000 waiting", "6003 waiting", "no rate is known since"] {
        assert!(shown.contains(known), "{known}: {shown}");
    }
    for unknown in ["no leak", " 0/s", "does not shrink"] {
        assert!(!shown.contains(unknown), "{unknown}: {shown}");
    }
    let target = &mut picture.targets[0];
    target.heap.leak = None;
    target.pools.iter_mut().for_each(|pool| pool.pending = None);
    target.queues.iter_mut().for_each(|queue| queue.waiting = None);
    let shown = picture.drawn(160, 50);
    assert!(!shown.contains("no leak") && !shown.contains("0 waiting"), "{shown}");
}

#[test]
fn overview_of_a_target_whose_data_is_stale() {
    let mut picture = quiet_shop();
    picture.go_stale(Duration::from_secs(14));
    every_size("overview_stale", &picture);
}

#[test]
fn overview_after_a_restart() {
    let mut picture = quiet_shop();
    picture.restart(Duration::from_secs(95));
    every_size("overview_restarted", &picture);
}

#[test]
fn overview_of_a_target_that_never_answered() {
    let mut picture = quiet_shop();
    picture.never_answered();
    every_size("overview_never_answered", &picture);
}

#[test]
fn detail_of_a_route() {
    let mut picture = view(View::Requests);
    picture.screen.detail = true;
    every_size("requests_detail", &picture);
}

#[test]
fn detail_of_a_route_names_its_slowest_requests() {
    let mut picture = view(View::Requests);
    picture.tell_of_requests();
    picture.screen.detail = true;
    picture.screen.table_mut().selected = Some("GET /orders/{id}".to_owned());
    let shown = picture.drawn(80, 24);
    assert!(shown.contains("open        now  ■ 31.2s  31.1s wait for pool primary"), "{shown}");
}

fn traces() -> Picture {
    let mut picture = view(View::Traces);
    picture.tell_of_requests();
    picture
}

#[test]
fn traces_fit_every_size() {
    every_size("traces", &traces());
}

#[test]
fn detail_of_a_request_with_a_query_for_each_product() {
    let mut picture = traces();
    picture.screen.detail = true;
    picture.screen.table_mut().selected = Some("GET /users/{id}/cart r-2".to_owned());
    every_size("traces_detail", &picture);
}

#[test]
fn a_request_that_failed_shows_what_was_logged() {
    let mut picture = traces();
    picture.screen.table_mut().selected = Some("POST /orders r-3".to_owned());
    let shown = picture.drawn(80, 24);
    assert!(shown.contains("POST /charges failed") && shown.contains("■ the bank did not answer"), "{shown}");
}

#[test]
fn a_request_that_is_open_in_detail_stays_when_it_is_no_longer_listed() {
    let mut picture = traces();
    picture.screen.detail = true;
    let mut gone = picture.traces.as_ref().unwrap().told.as_ref().unwrap().requests[2].clone();
    gone.identity = "GET /users/{id}/cart r-0".to_owned();
    picture.screen.table_mut().selected = Some(gone.identity.clone());
    assert!(picture.drawn(80, 24).contains("neither open nor kept any more"));
    picture.opened = Some(gone);
    let shown = picture.drawn(80, 24);
    assert!(
        shown.contains("took 611ms  no longer listed  status 200") && shown.contains("SELECT products ×12"),
        "{shown}"
    );
}

#[test]
fn more_open_requests_than_are_listed_are_counted() {
    let mut picture = traces();
    let traces = picture.traces.as_mut().unwrap();
    let told = Told { open: 300, keeps_spans: false, ..traces.told.as_deref().unwrap().clone() };
    traces.told = Some(Arc::new(told));
    let shown = picture.drawn(80, 24);
    assert!(shown.contains(" 300 open, 1 oldest listed  257 slow  since the start  slow from 500ms on"), "{shown}");
}

#[test]
fn a_route_names_no_requests_of_long_ago_and_a_pause_is_no_question() {
    let mut picture = view(View::Requests);
    picture.fall_silent_about_requests();
    picture.screen.detail = true;
    picture.screen.table_mut().selected = Some("GET /orders/{id}".to_owned());
    assert!(!picture.drawn(80, 24).contains("31.2s"));
    let mut picture = view(View::Traces);
    picture.paused = Some(Duration::from_secs(3));
    assert!(picture.drawn(80, 24).contains("requests are not asked for while paused; p goes on"));
}

#[test]
fn requests_whose_time_is_not_known_say_why() {
    let mut picture = traces();
    picture.screen.detail = true;
    for (request, why) in [
        ("GET /orders/{id} r-1", "its spans are shown once it has ended"),
        ("GET /search r-4", "its spans were not kept"),
        ("GET /gone r-9", "the request is neither open nor kept any more; esc goes back"),
    ] {
        picture.screen.table_mut().selected = Some(request.to_owned());
        let shown = picture.drawn(160, 24);
        assert!(shown.contains(why), "{shown}");
    }
}

#[test]
fn requests_of_a_target_that_does_not_answer_are_old_and_those_of_another_one_are_not_shown() {
    let mut picture = view(View::Traces);
    let shown = picture.drawn(80, 24);
    assert!(shown.contains("asking for slow and open requests"), "{shown}");
    picture.fall_silent_about_requests();
    let shown = picture.drawn(120, 24);
    assert!(shown.contains("▲21s old: no requests from http://127.0.0.1:9464 within 5 s"), "{shown}");
    picture.traces.as_mut().unwrap().target = 1;
    let shown = picture.drawn(80, 24);
    assert!(shown.contains("asking for slow and open requests"), "{shown}");
}

#[test]
fn detail_of_a_query() {
    let mut picture = view(View::Queries);
    picture.screen.detail = true;
    every_size("queries_detail", &picture);
}

#[test]
fn detail_of_an_alert() {
    let mut picture = shop_without_connections();
    picture.screen.view = View::Alerts;
    picture.screen.detail = true;
    every_size("alerts_detail", &picture);
}

#[test]
fn paused_and_filtered() {
    let mut picture = view(View::Requests);
    picture.paused = Some(Duration::from_secs(42));
    picture.screen.filtering = true;
    picture.screen.table_mut().filter = "order".to_owned();
    every_size("requests_paused_filtered", &picture);
}

#[test]
fn a_terminal_without_unicode_and_without_colour_shows_ascii_only() {
    let mut picture = shop_without_connections();
    picture.theme = Theme::coloured().ascii().without_colour();
    for view in View::ALL {
        picture.screen.view = view;
        let drawn = picture.drawn(80, 24);
        assert!(drawn.is_ascii(), "{view:?}: {drawn}");
        assert!(!picture.has_colour(80, 24), "{view:?}");
    }
}

#[test]
fn every_view_can_be_drawn_at_every_size_down_to_nothing() {
    let mut misread = quiet_shop();
    misread.misread_rules();
    for mut picture in [quiet_shop(), shop_without_connections(), misread] {
        for view in View::ALL {
            picture.screen.view = view;
            for detail in [false, true] {
                picture.screen.detail = detail;
                for (width, height) in
                    [(1, 1), (5, 3), (20, 4), (21, 5), (33, 7), (61, 9), (80, 14), (131, 16), (300, 90)]
                {
                    assert!(!picture.drawn(width, height).is_empty());
                }
            }
        }
    }
}

#[test]
fn the_footer_offers_only_keys_that_do_something() {
    for (wanted, offered) in [
        (View::Overview, "views  p pause"),
        (View::Requests, "views  enter detail  / filter  s sort  p pause"),
        (View::Pools, "views  / filter  s sort  p pause"),
        (View::Caches, "views  / filter  s sort  p pause"),
        (View::Queues, "views  / filter  s sort  p pause"),
        (View::Alerts, "views  enter detail  / filter  s sort  p pause"),
        (View::Targets, "views  enter show  / filter  s sort  p pause"),
    ] {
        let drawn = view(wanted).drawn(160, 50);
        let footer = drawn.lines().last().expect("a frame has rows");
        assert!(footer.contains(offered), "{wanted:?}: {footer}");
    }
}

#[test]
fn severity_is_said_in_words_beside_its_colour() {
    let drawn = shop_without_connections().drawn(80, 24);
    for said in ["SHOP IS FAILING", "since 03:02:02 (12m05s)", "critical", "\"primary\" 10/10 busy, 37 waiting"] {
        assert!(drawn.contains(said), "{said:?} is missing in {drawn}");
    }
}
