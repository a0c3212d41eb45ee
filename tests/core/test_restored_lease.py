"""What a lease does when the table that it stands in was restored from a backup."""

import msgspec
import pytest

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import RESTORED_COUNTER_STEP, Binding, Lease

OLD_TABLE = Binding("stream@1", "app", "old-table")
NEW_TABLE = Binding("stream@1", "app", "new-table")
AT_BACKUP = Lease(key="s", checkpoint=Checkpoint("5"), counter=3, binding=OLD_TABLE)


def test_no_fencing_token_is_given_twice_after_a_restore():
    lost = AT_BACKUP.picked_up("a@00000000", OLD_TABLE).after  # after the backup was made
    for number in range(6, 500):
        lost = lost.checkpointed(Checkpoint(str(number))).after

    restored = AT_BACKUP.bound(NEW_TABLE).after

    assert restored.picked_up("b@11111111", NEW_TABLE).after.counter > lost.counter
    assert restored.counter == AT_BACKUP.counter + RESTORED_COUNTER_STEP
    assert restored.binding == NEW_TABLE


@pytest.mark.parametrize("binding", [None, OLD_TABLE, msgspec.structs.replace(OLD_TABLE, table_id=None)])
def test_a_row_that_is_bound_for_the_first_time_or_again_goes_on_to_count(binding: Binding | None):
    lease = msgspec.structs.replace(AT_BACKUP, binding=binding)

    assert lease.bound(OLD_TABLE).after.counter == lease.counter + 1


def test_a_restored_row_is_adopted_on_condition_that_it_is_as_seen():
    change = AT_BACKUP.bound(NEW_TABLE)

    assert change.before == AT_BACKUP
    assert not change.is_counter_free
    assert change.changed_fields == ("counter", "binding")


def test_a_row_that_was_made_again_since_the_backup_is_outrun_as_well():
    now = 1_800_000_000_000_000  # microseconds, as a row that is made again counts from

    assert AT_BACKUP.bound(NEW_TABLE, now).after.counter == now
    assert AT_BACKUP.bound(OLD_TABLE, now).after.counter == AT_BACKUP.counter + 1
