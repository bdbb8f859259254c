//! Each rule of what is sent together, without a server.

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

static ACQUIRE: Script = Script::short("acquire", "");
static RELEASE: Script = Script::short("release", "");
static WHOLE: Script = Script::whole("whole", "");
static ACQUIRES: BatchScript = BatchScript { script: &ACQUIRE, needs_token: true };
static RELEASES: BatchScript = BatchScript { script: &RELEASE, needs_token: false };

type Answer = oneshot::Receiver<Result<Value>>;

fn packed(args: &[&[u8]]) -> Packed {
    Packed::new(&args.iter().map(|arg| Arg::Bytes(arg)).collect::<Vec<_>>())
}

fn key(name: &str) -> LockKey {
    LockKey::parse(name).unwrap()
}

fn push(queue: &mut CommandQueue, name: &str, work: Work) -> (Arc<CommandState>, Answer) {
    let (sender, answer) = oneshot::channel();
    let state = Arc::<CommandState>::default();
    let entry = Entry::new(Operation::Acquire, key(name), work, Arc::clone(&state), sender);
    queue.push(entry);
    (state, answer)
}

fn acquire(queue: &mut CommandQueue, name: &str) -> (Arc<CommandState>, Answer) {
    push(queue, name, Work::Short(&ACQUIRES, name.to_owned(), packed(&[b"id"])))
}

fn release(queue: &mut CommandQueue, name: &str) -> (Arc<CommandState>, Answer) {
    push(queue, name, Work::Short(&RELEASES, name.to_owned(), packed(&[b"id"])))
}

fn whole(queue: &mut CommandQueue, name: &str) -> (Arc<CommandState>, Answer) {
    push(queue, name, Work::Whole(&WHOLE, vec![name.to_owned()], Packed::default()))
}

/// The script and keys of each call that is sent now.
fn taken(queue: &mut CommandQueue) -> Vec<(&'static str, Vec<String>)> {
    let calls = queue.take(&Arc::default(), LIMIT, usize::MAX, |_| false);
    calls.iter().map(|call| (call.script.name(), keys(&call.keys("token")))).collect()
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn command_goes_alone_while_nothing_is_on_its_way() {
    let mut queue = CommandQueue::default();
    assert!(queue.goes_alone());
    assert!(!queue.goes_alone(), "the first is on its way");
    assert!(!queue.came_back(), "nobody waits");
    assert!(queue.goes_alone());
    let _entry = acquire(&mut queue, "a");
    assert!(queue.came_back(), "one waits");
    assert!(!queue.goes_alone(), "one waits");
}

#[test]
fn commands_that_arrive_meanwhile_are_batched() {
    let mut queue = CommandQueue::default();
    let _entries = [acquire(&mut queue, "a"), acquire(&mut queue, "b")];
    assert_eq!(taken(&mut queue), [("acquire", keys(&["token", "a", "b"]))]);
    assert_eq!(taken(&mut queue), []);
    assert!(!queue.has(&key("a")));
}

#[test]
fn second_command_of_a_key_belongs_into_the_next_batch() {
    let mut queue = CommandQueue::default();
    let _entries = [
        release(&mut queue, "a"),
        acquire(&mut queue, "a"),
        acquire(&mut queue, "b"),
        release(&mut queue, "a"),
    ];
    let first = [("release", keys(&["a"])), ("acquire", keys(&["token", "b"]))];
    assert_eq!(taken(&mut queue), first);
    assert_eq!(taken(&mut queue), [("acquire", keys(&["token", "a"]))]);
    assert_eq!(taken(&mut queue), [("release", keys(&["a"]))]);
    assert_eq!(taken(&mut queue), []);
}

#[test]
fn whole_commands_follow_those_of_their_key() {
    let mut queue = CommandQueue::default();
    let _entries = [
        acquire(&mut queue, "a"),
        whole(&mut queue, "a"),
        whole(&mut queue, "b"),
        whole(&mut queue, "a"),
        release(&mut queue, "a"),
        whole(&mut queue, "a"),
    ];
    assert!(queue.has(&key("a")) && !queue.has(&key("c")));
    let (acquire, of_a, of_b) =
        (("acquire", keys(&["token", "a"])), ("whole", keys(&["a"])), ("whole", keys(&["b"])));
    assert_eq!(taken(&mut queue), [acquire, of_a.clone(), of_a.clone(), of_b]);
    assert_eq!(taken(&mut queue), [("release", keys(&["a"])), of_a]);
    assert_eq!(taken(&mut queue), []);
}

#[test]
fn whole_commands_are_no_more_than_there_are_turns() {
    let mut queue = CommandQueue::default();
    let _entries = [
        whole(&mut queue, "a"),
        whole(&mut queue, "a"),
        whole(&mut queue, "b"),
        acquire(&mut queue, "c"),
    ];
    let mut taken = |limit| {
        let calls = queue.take(&Arc::default(), LIMIT, limit, |_| false);
        calls.iter().map(|call| keys(&call.keys("token"))).collect::<Vec<_>>()
    };
    assert_eq!(taken(1), [keys(&["a"]), keys(&["token", "c"])]);
    assert_eq!(taken(1), [keys(&["a"])]);
    assert_eq!(taken(1), [keys(&["b"])]);
}

#[test]
fn whole_commands_of_one_key_are_no_more_than_a_batch() {
    let mut queue = CommandQueue::default();
    let _entries: Vec<_> = (0..100).map(|_| whole(&mut queue, "a")).collect();
    assert_eq!(taken(&mut queue).len(), MOST);
    assert_eq!(taken(&mut queue).len(), 100 - MOST);
}

#[test]
fn batch_has_sixty_four_commands_at_most() {
    let mut queue = CommandQueue::default();
    let _entries: Vec<_> = (0..100).map(|it| acquire(&mut queue, &it.to_string())).collect();
    let now = Instant::now();
    (0..BESIDE).for_each(|_| queue.went());
    assert_eq!(queue.due(now), Due::Now, "a batch is full");
    assert_eq!(taken(&mut queue)[0].1.len(), 1 + MOST);
    assert_eq!(taken(&mut queue)[0].1.len(), 1 + 100 - MOST);
}

#[test]
fn batch_goes_beside_a_few_others() {
    let mut queue = CommandQueue::default();
    let _entry = acquire(&mut queue, "a");
    let now = Instant::now();
    for _ in 0..BESIDE {
        assert_eq!(queue.due(now), Due::Now);
        queue.went();
    }
    assert!(matches!(queue.due(now), Due::By(_)), "enough are on their way");
    assert!(queue.came_back());
    assert_eq!(queue.due(now), Due::Now);
}

#[test]
fn batch_ends_after_sixty_four_kilobytes() {
    let mut queue = CommandQueue::default();
    let large = |queue: &mut CommandQueue, name: &str| {
        push(queue, name, Work::Short(&ACQUIRES, name.to_owned(), packed(&[&[0; BYTES / 2]])))
    };
    let _entries = ["a", "b", "c"].map(|name| large(&mut queue, name));
    assert_eq!(taken(&mut queue), [("acquire", keys(&["token", "a", "b"]))]);
    assert_eq!(taken(&mut queue), [("acquire", keys(&["token", "c"]))]);
}

#[test]
fn withdrawn_command_is_never_sent_and_a_sent_one_not_withdrawn() {
    let mut queue = CommandQueue::default();
    let (withdrawn, _answer) = acquire(&mut queue, "a");
    let (sent, _other) = acquire(&mut queue, "a");
    assert!(withdrawn.withdraw());
    assert_eq!(taken(&mut queue), [("acquire", keys(&["token", "a"]))]);
    assert!(!sent.withdraw());
    assert_eq!(queue.count, 0);
}

#[test]
fn withdrawn_commands_are_forgotten_while_nothing_can_be_sent() {
    let mut queue = CommandQueue::default();
    let _stays = acquire(&mut queue, "stays");
    for number in 0..10 * MANY {
        let (state, _answer) = acquire(&mut queue, &number.to_string());
        assert!(state.withdraw());
        assert!(queue.count <= MANY && queue.turns.len() == queue.of_key.len());
    }
    assert!(queue.has(&key("stays")));
}

#[test]
fn nothing_is_held_longer_than_half_a_millisecond() {
    let mut queue = CommandQueue::default();
    let before = Instant::now();
    assert_eq!(queue.due(before), Due::Never);
    (0..BESIDE).for_each(|_| queue.went());
    let _entry = acquire(&mut queue, "a");
    let now = Instant::now();
    let due = queue.due(before);
    let is_soon = matches!(due, Due::By(at) if (before..=now).contains(&at));
    assert!(is_soon, "{due:?}, as another is on its way");
    assert_eq!(queue.due(Instant::now() + HOLD), Due::Now);
    assert!(queue.came_back());
    assert_eq!(queue.due(now), Due::Now);
}

#[test]
fn commands_of_a_contended_key_are_not_sent_in_vain() {
    let mut queue = CommandQueue::default();
    let mut answers = [acquire(&mut queue, "a").1, release(&mut queue, "a").1];
    let _others = [whole(&mut queue, "a"), acquire(&mut queue, "b")];
    let calls = queue.take(&Arc::default(), LIMIT, usize::MAX, |it| *it == key("a"));
    let sent: Vec<_> = calls.iter().map(|call| keys(&call.keys("token"))).collect();
    assert_eq!(sent, [keys(&["a"]), keys(&["token", "b"])]);
    for answer in &mut answers {
        assert_eq!(answer.try_recv().unwrap().unwrap(), Value::Nil);
    }
}

/// The answers to a batch of two.
fn answered(answer: Result<Value>) -> [Result<Value>; 2] {
    let mut queue = CommandQueue::default();
    let answers = [acquire(&mut queue, "a").1, acquire(&mut queue, "b").1];
    queue.take(&Arc::default(), LIMIT, usize::MAX, |_| false).remove(0).answer(answer);
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
    let mut capacity = Capacity::default();
    capacity.is_there();
    assert_eq!(capacity.deadline(since, LIMIT), Some(since + LIMIT));
    capacity = Capacity::Exhausted;
    assert_eq!(capacity.deadline(since, LIMIT), None);
    tokio::time::advance(LIMIT * 3).await;
    capacity.is_there();
    let found = Instant::now();
    assert_eq!(capacity.deadline(since, LIMIT), Some(found + LIMIT), "it waited for its turn");
    tokio::time::advance(LIMIT).await;
    capacity.is_there();
    assert_eq!(capacity.deadline(since, LIMIT), Some(found + LIMIT), "a connection is no turn");
    let later = Instant::now();
    assert_eq!(capacity.deadline(later, LIMIT), Some(later + LIMIT), "it waited for none");
}

#[tokio::test(start_paused = true)]
async fn batch_may_take_as_long_as_the_last_of_it() {
    let mut queue = CommandQueue::default();
    let first = acquire(&mut queue, "a");
    tokio::time::advance(LIMIT / 2).await;
    let last = acquire(&mut queue, "b");
    let began = Instant::now();
    let calls = queue.take(&Arc::default(), LIMIT, usize::MAX, |_| false);
    assert_eq!(calls[0].deadline, began + LIMIT);
    assert_eq!(first.0.sent().unwrap().deadline, began + LIMIT / 2, "each has its own limit");
    assert_eq!(last.0.sent().unwrap().deadline, began + LIMIT);
}
