//! Each rule of what is sent together, without a server.

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

static ACQUIRE: Script = Script::short("acquire", "");
static RELEASE: Script = Script::short("release", "");
static WHOLE: Script = Script::whole("whole", "");
static ACQUIRES: Gather = Gather { script: &ACQUIRE, needs_token: true };
static RELEASES: Gather = Gather { script: &RELEASE, needs_token: false };

type Answer = oneshot::Receiver<Result<Value>>;

fn packed(args: &[&[u8]]) -> Packed {
    Packed::new(&args.iter().map(|arg| Arg::Bytes(arg)).collect::<Vec<_>>())
}

fn key(name: &str) -> LockKey {
    LockKey::parse(name).unwrap()
}

fn push(gathered: &mut Gathered, name: &str, work: Work) -> (Arc<Standing>, Answer) {
    let (sender, answer) = oneshot::channel();
    let standing = Arc::<Standing>::default();
    let entry = Entry::new(Operation::Acquire, key(name), work, Arc::clone(&standing), sender);
    gathered.push(entry);
    (standing, answer)
}

fn acquire(gathered: &mut Gathered, name: &str) -> (Arc<Standing>, Answer) {
    push(gathered, name, Work::Short(&ACQUIRES, name.to_owned(), packed(&[b"id"])))
}

fn release(gathered: &mut Gathered, name: &str) -> (Arc<Standing>, Answer) {
    push(gathered, name, Work::Short(&RELEASES, name.to_owned(), packed(&[b"id"])))
}

fn whole(gathered: &mut Gathered, name: &str) -> (Arc<Standing>, Answer) {
    push(gathered, name, Work::Whole(&WHOLE, vec![name.to_owned()], Packed::default()))
}

/// What is sent now: of each call the script and the keys.
fn taken(gathered: &mut Gathered) -> Vec<(&'static str, Vec<String>)> {
    let calls = gathered.take(&Arc::default(), LIMIT, |_| false);
    calls.iter().map(|call| (call.script.name(), keys(&call.keys("token")))).collect()
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn command_goes_alone_while_nothing_is_on_its_way() {
    let mut gathered = Gathered::default();
    assert!(gathered.goes_alone());
    assert!(!gathered.goes_alone(), "the first is on its way");
    assert!(!gathered.came_back(), "nobody waits");
    assert!(gathered.goes_alone());
    let _entry = acquire(&mut gathered, "a");
    assert!(gathered.came_back(), "one waits");
    assert!(!gathered.goes_alone(), "one waits");
}

#[test]
fn what_comes_meanwhile_goes_together() {
    let mut gathered = Gathered::default();
    let _entries = [acquire(&mut gathered, "a"), acquire(&mut gathered, "b")];
    assert_eq!(taken(&mut gathered), [("acquire", keys(&["token", "a", "b"]))]);
    assert_eq!(taken(&mut gathered), []);
    assert!(!gathered.has(&key("a")));
}

#[test]
fn second_command_of_a_key_belongs_into_the_next_batch() {
    let mut gathered = Gathered::default();
    let _entries = [
        release(&mut gathered, "a"),
        acquire(&mut gathered, "a"),
        acquire(&mut gathered, "b"),
        release(&mut gathered, "a"),
    ];
    let first = [("release", keys(&["a"])), ("acquire", keys(&["token", "b"]))];
    assert_eq!(taken(&mut gathered), first);
    assert_eq!(taken(&mut gathered), [("acquire", keys(&["token", "a"]))]);
    assert_eq!(taken(&mut gathered), [("release", keys(&["a"]))]);
    assert_eq!(taken(&mut gathered), []);
}

#[test]
fn whole_commands_follow_those_of_their_key() {
    let mut gathered = Gathered::default();
    let _entries = [
        acquire(&mut gathered, "a"),
        whole(&mut gathered, "a"),
        whole(&mut gathered, "b"),
        whole(&mut gathered, "a"),
        release(&mut gathered, "a"),
        whole(&mut gathered, "a"),
    ];
    assert!(gathered.has(&key("a")) && !gathered.has(&key("c")));
    let (acquire, of_a, of_b) =
        (("acquire", keys(&["token", "a"])), ("whole", keys(&["a"])), ("whole", keys(&["b"])));
    assert_eq!(taken(&mut gathered), [acquire, of_a.clone(), of_a.clone(), of_b]);
    assert_eq!(taken(&mut gathered), [("release", keys(&["a"])), of_a]);
    assert_eq!(taken(&mut gathered), []);
}

#[test]
fn whole_commands_of_one_key_are_no_more_than_a_batch() {
    let mut gathered = Gathered::default();
    let _entries: Vec<_> = (0..100).map(|_| whole(&mut gathered, "a")).collect();
    assert_eq!(taken(&mut gathered).len(), MOST);
    assert_eq!(taken(&mut gathered).len(), 100 - MOST);
}

#[test]
fn batch_has_sixty_four_commands_at_most() {
    let mut gathered = Gathered::default();
    let _entries: Vec<_> = (0..100).map(|it| acquire(&mut gathered, &it.to_string())).collect();
    let now = Instant::now();
    (0..BESIDE).for_each(|_| gathered.went());
    assert_eq!(gathered.due(now), Due::Now, "a batch is full");
    assert_eq!(taken(&mut gathered)[0].1.len(), 1 + MOST);
    assert_eq!(taken(&mut gathered)[0].1.len(), 1 + 100 - MOST);
}

#[test]
fn batch_goes_beside_a_few_others() {
    let mut gathered = Gathered::default();
    let _entry = acquire(&mut gathered, "a");
    let now = Instant::now();
    for _ in 0..BESIDE {
        assert_eq!(gathered.due(now), Due::Now);
        gathered.went();
    }
    assert!(matches!(gathered.due(now), Due::By(_)), "enough are on their way");
    assert!(gathered.came_back());
    assert_eq!(gathered.due(now), Due::Now);
}

#[test]
fn batch_ends_after_sixty_four_kilobytes() {
    let mut gathered = Gathered::default();
    let large = |gathered: &mut Gathered, name: &str| {
        push(gathered, name, Work::Short(&ACQUIRES, name.to_owned(), packed(&[&[0; BYTES / 2]])))
    };
    let _entries = ["a", "b", "c"].map(|name| large(&mut gathered, name));
    assert_eq!(taken(&mut gathered), [("acquire", keys(&["token", "a", "b"]))]);
    assert_eq!(taken(&mut gathered), [("acquire", keys(&["token", "c"]))]);
}

#[test]
fn withdrawn_command_is_never_sent_and_a_sent_one_not_withdrawn() {
    let mut gathered = Gathered::default();
    let (withdrawn, _answer) = acquire(&mut gathered, "a");
    let (sent, _other) = acquire(&mut gathered, "a");
    assert!(withdrawn.withdraw());
    assert_eq!(taken(&mut gathered), [("acquire", keys(&["token", "a"]))]);
    assert!(!sent.withdraw());
    assert_eq!(gathered.count, 0);
}

#[test]
fn withdrawn_commands_are_forgotten_while_nothing_can_be_sent() {
    let mut gathered = Gathered::default();
    let _stays = acquire(&mut gathered, "stays");
    for number in 0..10 * MANY {
        let (standing, _answer) = acquire(&mut gathered, &number.to_string());
        assert!(standing.withdraw());
        assert!(gathered.count <= MANY && gathered.turns.len() == gathered.of_key.len());
    }
    assert!(gathered.has(&key("stays")));
}

#[test]
fn nothing_is_held_longer_than_half_a_millisecond() {
    let mut gathered = Gathered::default();
    let before = Instant::now();
    assert_eq!(gathered.due(before), Due::Never);
    (0..BESIDE).for_each(|_| gathered.went());
    let _entry = acquire(&mut gathered, "a");
    let now = Instant::now();
    let due = gathered.due(before);
    let is_soon = matches!(due, Due::By(at) if (before..=now).contains(&at));
    assert!(is_soon, "{due:?}, as another is on its way");
    assert_eq!(gathered.due(Instant::now() + HOLD), Due::Now);
    assert!(gathered.came_back());
    assert_eq!(gathered.due(now), Due::Now);
}

#[test]
fn commands_of_a_contended_key_are_not_sent_in_vain() {
    let mut gathered = Gathered::default();
    let mut answers = [acquire(&mut gathered, "a").1, release(&mut gathered, "a").1];
    let _others = [whole(&mut gathered, "a"), acquire(&mut gathered, "b")];
    let calls = gathered.take(&Arc::default(), LIMIT, |it| *it == key("a"));
    let sent: Vec<_> = calls.iter().map(|call| keys(&call.keys("token"))).collect();
    assert_eq!(sent, [keys(&["a"]), keys(&["token", "b"])]);
    for answer in &mut answers {
        assert_eq!(answer.try_recv().unwrap().unwrap(), Value::Nil);
    }
}

/// The answers to a batch of two.
fn answered(answer: Result<Value>) -> [Result<Value>; 2] {
    let mut gathered = Gathered::default();
    let answers = [acquire(&mut gathered, "a").1, acquire(&mut gathered, "b").1];
    gathered.take(&Arc::default(), LIMIT, |_| false).remove(0).answer(answer);
    answers.map(|mut answer| answer.try_recv().unwrap())
}

#[test]
fn answers_come_by_place() {
    let answer = Value::Array(vec![Value::Int(7), Value::Int(8), Value::Nil]);
    let [first, second] = answered(Ok(answer));
    assert_eq!(first.unwrap(), Value::Array(vec![Value::Int(7), Value::Int(8)]));
    assert_eq!(second.unwrap(), Value::Nil);
}

#[test]
fn damage_lets_each_go_by_itself() {
    for answer in [Err(error::corrupt(Operation::Acquire)), Ok(Value::Array(vec![Value::Int(7)]))] {
        assert_eq!(answered(answer).map(Result::unwrap), [Value::Nil, Value::Nil]);
    }
}

#[test]
fn failure_of_a_batch_is_that_of_each_with_its_key() {
    let [first, second] = answered(Err(error::unreachable(Operation::Acquire, None)));
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert_eq!((first.key(), second.key()), (Some(&key("a")), Some(&key("b"))));
    assert!(!first.is_unknown());
}

#[tokio::test(start_paused = true)]
async fn time_of_a_command_runs_from_when_there_is_room() {
    let since = Instant::now();
    let mut room = Room::default();
    room.is_there();
    assert_eq!(room.deadline(since, LIMIT), Some(since + LIMIT));
    room = Room::Awaited;
    assert_eq!(room.deadline(since, LIMIT), None);
    tokio::time::advance(LIMIT * 3).await;
    room.is_there();
    let found = Instant::now();
    assert_eq!(room.deadline(since, LIMIT), Some(found + LIMIT), "it waited for its turn");
    tokio::time::advance(LIMIT).await;
    room.is_there();
    assert_eq!(room.deadline(since, LIMIT), Some(found + LIMIT), "a connection is no turn");
    let later = Instant::now();
    assert_eq!(room.deadline(later, LIMIT), Some(later + LIMIT), "it waited for none");
}

#[tokio::test(start_paused = true)]
async fn batch_may_take_as_long_as_the_last_of_it() {
    let mut gathered = Gathered::default();
    let first = acquire(&mut gathered, "a");
    tokio::time::advance(LIMIT / 2).await;
    let last = acquire(&mut gathered, "b");
    let began = Instant::now();
    let calls = gathered.take(&Arc::default(), LIMIT, |_| false);
    assert_eq!(calls[0].deadline, began + LIMIT);
    assert_eq!(first.0.sent().unwrap().deadline, began + LIMIT / 2, "each has its own limit");
    assert_eq!(last.0.sent().unwrap().deadline, began + LIMIT);
}
