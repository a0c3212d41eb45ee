"""What one worker does about the lease that it holds or picks up: calls, answers, read-backs, batches."""

from collections.abc import Iterator

from tests.exhaustive.landing import LawBroken, check_beginning, check_progress, check_verdict, landed
from tests.exhaustive.rows import NOBODY, RECORDS, Row, Write
from tests.exhaustive.shipped import DEAD, LIVE, Shipped
from tests.exhaustive.world import (
    LANDED,
    LETTING_GO,
    LOST,
    NONE_LANDED,
    OTHERS_WROTE,
    READY,
    RUNNING,
    TAMPERED,
    UNSURE,
    Consumer,
    Tenure,
    Worker,
    World,
    rebased,
)

STRAYS_MAX = 2
"""Late requests under way at once: one of the holder's, and one of somebody else's."""
Step = tuple[str, int, World]


def steps_of_holder(world: World, shipped: Shipped, number: int) -> Iterator[Step]:
    """Everything that worker `number` may do next about the row, while it believes that its session goes on."""
    worker = world.workers[number]
    yield from _consumer_steps(world, number, worker)
    tenure = worker.tenure
    if tenure is None:
        return
    if not tenure.call:
        if tenure.is_picked_up:
            yield from _calls(world, shipped, number, worker, tenure)
    elif tenure.phase == READY:
        yield from _sendings(world, shipped, number, worker, tenure)
    elif tenure.phase == LANDED:
        view = tenure.attempts[-1].after
        yield "is told that its write landed", number, finished(world, number, view)
        if (lossy := world.spending("losses")) is not None:
            unsure = worker._replace(tenure=tenure._replace(phase=UNSURE))
            yield "loses the answer to its write", number, lossy.with_worker(number, unsure)
    else:
        yield _read_back(world, shipped, number, worker, tenure)


def _consumer_steps(world: World, number: int, worker: Worker) -> Iterator[Step]:
    consumer = worker.consumer
    if consumer is None:
        return
    if consumer.delivered > consumer.done:
        done = consumer._replace(done=consumer.done + 1)
        yield "finishes a batch", number, world.with_worker(number, worker._replace(consumer=done))
    elif consumer.status == LOST:
        yield "closes the processor", number, world.with_worker(number, worker._replace(consumer=None))
    elif consumer.status == RUNNING and worker.is_ahead and consumer.done < RECORDS:
        check_beginning(world, number)
        begun = consumer._replace(delivered=consumer.delivered + 1)
        yield "begins a batch", number, world.with_worker(number, worker._replace(consumer=begun))


# -- what is asked of the keeper ---------------------------------------------------------------------------------------


def _calls(world: World, shipped: Shipped, number: int, worker: Worker, tenure: Tenure) -> Iterator[Step]:
    consumer, view = worker.consumer, tenure.view
    seen = shipped.looked(view, world.row)
    if seen is None:
        yield "looks, and asks whose the row is", number, _calling(world, number, worker, "bound", 0)
    elif seen != view:
        looked = worker._replace(tenure=tenure._replace(view=seen))
        yield "looks, and sees a hand-off", number, world.with_worker(number, looked)
    if consumer is None or consumer.status == LOST:
        return
    position = shipped.position(consumer.begin, consumer.delivered, consumer.done)
    unsaved = position if position > view.checkpoint else 0
    if unsaved:
        yield "saves a checkpoint", number, _calling(world, number, worker, "checkpointed", unsaved)
    if (noting := world.spending("notes")) is not None:
        yield "notes that it is at the tip", number, _calling(noting, number, worker, "prepared", 0)
    if consumer.status == RUNNING:
        if consumer.done == RECORDS:
            yield "ends the shard", number, _calling(world, number, worker, "ended", 0)
        if view.giver == world.session_of(number):
            yield _hand_off(world, shipped, number, worker, view)
    elif is_between_batches(consumer):
        for going in lettings_go(world, shipped, number, unsaved):
            yield "lets go", number, going
    elif not worker.is_leaving and (late := world.spending("graces")) is not None:
        for going in lettings_go(late, shipped, number, 0, is_forced=True):
            yield "is forced to let go", number, going


def _hand_off(world: World, shipped: Shipped, number: int, worker: Worker, view: Row) -> Step:
    if view.owner != NOBODY and shipped.may_receive(view.owner, world.entries[view.owner]):
        return "begins to hand over", number, told_to_let_go(world, number)
    return "calls the hand-off off", number, _calling(world, number, worker, "taken_back", 0)


def _calling(world: World, number: int, worker: Worker, name: str, argument: int) -> World:
    assert worker.tenure is not None
    tenure = worker.tenure._replace(call=(name, argument), tried=0)
    return world.with_worker(number, worker._replace(tenure=tenure))


def told_to_let_go(world: World, number: int) -> World:
    """The consumer begins no other batch."""
    worker = world.workers[number]
    if worker.consumer is None or worker.consumer.status != RUNNING:
        return world
    return world.with_worker(number, worker._replace(consumer=worker.consumer._replace(status=LETTING_GO)))


def is_between_batches(consumer: Consumer) -> bool:
    """True if a consumer that was told to let go may ask for it: the batch in flight is finished first."""
    return consumer.delivered == consumer.done


def lettings_go(
    world: World, shipped: Shipped, number: int, position: int, *, is_forced: bool = False
) -> Iterator[World]:
    """Begin to let the lease go, as `Tenure` does: the hand-off is completed, or an heir named, or nobody."""
    worker, session = world.workers[number], world.session_of(number)
    tenure = worker.tenure
    assert tenure is not None
    view, entries = tenure.view, world.entries
    is_handing_over, heirs = view.giver != NOBODY, [NOBODY]
    if worker.is_leaving:
        is_willing = view.owner not in (NOBODY, session) and shipped.may_receive(view.owner, entries[view.owner])
        is_handing_over = is_handing_over and is_willing
        if not is_handing_over:
            heirs += [other for other, status in enumerate(entries) if status == LIVE and other != session]
    phase = READY if not tenure.attempts else UNSURE
    for heir in heirs:
        call = ("let go", is_handing_over, heir, position, is_forced)
        changed = tenure._replace(call=call, tried=0, phase=phase)
        yield world.with_worker(number, worker._replace(tenure=changed))


# -- how it is written -------------------------------------------------------------------------------------------------


def _sendings(world: World, shipped: Shipped, number: int, worker: Worker, tenure: Tenure) -> Iterator[Step]:
    name, session = str(tenure.call[0]), world.session_of(number)
    write = _write(shipped, tenure, session)
    if write is None:
        raise LawBroken(f"worker {number}: the call {tenure.call} is refused for {tenure.view}, with nobody to be told")
    check_progress(tenure, worker.consumer, write)
    attempts = (*tenure.attempts, write)
    sent = tenure._replace(attempts=attempts, tried=tenure.tried + 1, truth=_truth(world, tenure))
    on_its_way = world.with_worker(number, worker._replace(tenure=sent._replace(phase=LANDED)))
    there = landed(on_its_way, shipped, session, write)
    unsure = worker._replace(tenure=sent._replace(phase=UNSURE))
    if there is not None:
        yield f"writes: {name}", number, there
    else:
        yield f"writes: {name}; it is refused", number, world.with_worker(number, unsure)
    lossy = world.spending("losses")
    if lossy is not None:
        lossy = lossy.with_worker(number, unsure)
        yield f"writes: {name}; the request is lost", number, lossy
        if len(world.strays) < STRAYS_MAX:
            yield f"writes: {name}; the request is late", number, strayed(lossy, session, write)


def _truth(world: World, tenure: Tenure) -> int:
    """What has become of the attempts by now, the next one not counted."""
    if tenure.attempts or tenure.truth == TAMPERED:
        return tenure.truth
    row, view = world.row, tenure.view
    is_as_seen = row is not None and (row.counter, row.holder, row.held) == (view.counter, view.holder, view.held)
    return NONE_LANDED if is_as_seen else OTHERS_WROTE


def strayed(world: World, session: int, write: Write) -> World:
    """A request that nobody waits for any more is still on its way."""
    return world._replace(strays=tuple(sorted((*world.strays, (session, write)))))


def _write(shipped: Shipped, tenure: Tenure, session: int) -> Write | None:
    match tenure.call:
        case ("let go", bool(is_handing_over), int(heir), int(position), _):
            return shipped.passed_on(tenure.view, is_handing_over, heir, position)
        case (str(name), int(argument)):
            return shipped.change(tenure.view, name, session if name == "picked_up" else argument)
    raise AssertionError(tenure.call)


def _read_back(world: World, shipped: Shipped, number: int, worker: Worker, tenure: Tenure) -> Step:
    settled = shipped.settled(
        world.row,
        tenure.view,
        tenure.attempts,
        tried=tenure.tried,
        is_picked_up=tenure.is_picked_up,
        is_live=worker.is_ahead,
    )
    if settled.created is not None:
        if world.entries[world.session_of(number)] == DEAD:
            raise LawBroken(f"worker {number} writes a row anew, and its session is revoked")
    else:
        check_verdict(world, number, settled.verdict, settled.view)
    if settled.verdict == "lost":
        return "reads back: it is lost", number, lost(world, number)
    truth = tenure.truth if settled.attempts else NONE_LANDED
    known = tenure._replace(view=settled.view, attempts=settled.attempts, phase=READY, truth=truth)
    told = world.with_worker(number, worker._replace(tenure=known))
    if settled.created is not None:
        return "reads back: the row is gone, and is written anew", number, rebased(told, settled.created)
    if settled.verdict == "mine":
        return "reads back: it landed", number, finished(world, number, settled.view)
    return "reads back: try again", number, told


# -- what becomes of it ------------------------------------------------------------------------------------------------


def finished(world: World, number: int, view: Row) -> World:
    """A call is known to have landed."""
    worker = world.workers[number]
    tenure, consumer = worker.tenure, worker.consumer
    assert tenure is not None
    known = Tenure(view, is_picked_up=True)
    match tenure.call[0]:
        case "picked_up":
            begin = view.checkpoint
            status = LETTING_GO if worker.is_leaving else RUNNING
            consumer = Consumer(begin, begin, begin, status, tenure.truth == TAMPERED)
            return world.with_worker(number, worker._replace(tenure=known, consumer=consumer))
        case "ended":
            return world.with_worker(number, worker._replace(tenure=None, consumer=None))
        case "let go":
            if view.holder == world.session_of(number):
                raise LawBroken(f"worker {number} believes that it let go, and the row says that it has the lease")
            if consumer is not None and consumer.delivered > consumer.done and not tenure.call[-1]:
                raise LawBroken(f"S8: worker {number} lets go, and its successor repeats the batch in flight")
            return lost(world, number)
    return world.with_worker(number, worker._replace(tenure=known))


def lost(world: World, number: int) -> World:
    """The epoch is over; the call in flight, if any, is finished."""
    worker = world.workers[number]
    consumer = worker.consumer
    if consumer is not None:
        is_in_flight = consumer.delivered > consumer.done
        consumer = consumer._replace(status=LOST) if is_in_flight else None
    return world.with_worker(number, worker._replace(tenure=None, consumer=consumer))


def picking_up(world: World, number: int, row: Row) -> World:
    """Begin to take a lease, as it was read."""
    tenure = Tenure(row, call=("picked_up", 0))
    return world.with_worker(number, world.workers[number]._replace(tenure=tenure))
