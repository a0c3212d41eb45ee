"""How a lease is written, comes and goes."""

from tests.simulation.sabotage.sabotage import by_law, by_test

CATALOGUE = (
    by_law(
        "a hand-off is completed without its checkpoint",
        "kcl_py.core.lease:Change.with_checkpoint",
        "if position is None or position == self.before.checkpoint:",
        "if True:",
        "slow_hand_off",
        "none_when_asked",
    ),
    by_law(
        "a lease is passed on before its progress is written",
        "kcl_py.runtime.leases.tenure:Tenure._let_go",
        (
            "            return change.with_checkpoint(position)\n\n"
            "        lease = await (self._save(passed_on) if position is not None else self._change(passed_on))"
        ),
        (
            "            return change\n\n"
            "        lease = await self._change(passed_on); "
            "position and await self._save(lambda row: row.checkpointed(position))"
        ),
        "slow_hand_off",
        "only_by_the_holder",
    ),
    by_law(
        "a checkpoint leaves the counter alone",
        "kcl_py.core.lease:Lease.checkpointed",
        "return self._to(",
        "return self._beside_the_holder(",
        "lifetime",
        "guarded",
    ),
    by_law(
        "a token not from the counter",
        "kcl_py.core.lease:Lease._to",
        "counter=self.counter + 1, **values",
        "counter=self.counter, **values",
        "lifetime",
        "guarded",
        "tokens_grow",
    ),
    by_law(
        "a blocked loop is not seen",
        "kcl_py.runtime.keeper:Keeper._watch_data_plane",
        "await self._plane_watch.wait_until_blocked()",
        "await asyncio.sleep(1e9)",
        "blocked",
        "progress",
    ),
    by_law(
        "the receiver does not wait for the giver",
        "kcl_py.runtime.leases.intake:Intake._settle",
        "if row.is_finished or row.effective_owner != me:",
        "if row.is_finished or row.owner != me:",
        "slow_hand_off",
        "only_from_the_dead",
    ),
    by_law(
        "lost leases go on",
        "kcl_py.runtime.leases.tenure:Tenure.lose",
        "self._desk.to_data_plane.put(Lost(self.lease.key, self.fencing_token))",
        "pass",
        "standing_still",
        "before_the_deadline",
        "no_zombie",
    ),
    by_law(
        "whatever is assigned is picked up, whoever holds it",
        "kcl_py.core.lease:Lease.effective_owner",
        "return self.checkpoint_owner if self.checkpoint_owner is not None else self.owner",
        "return self.owner",
        "idle",
        "only_from_the_dead",
    ),
    by_law(
        "a lost session loses no lease",
        "kcl_py.runtime.keeper:Keeper._keep_session",
        'self._holdings.lose_all(f"the session ended: {ended}")',
        "pass",
        "cut_off",
        "before_the_deadline",
        "no_zombie",
    ),
    by_test(
        "a checkpoint may go back",
        "kcl_py.core.lease:Lease.checkpointed",
        (
            "if position < self.checkpoint or not (position.is_number or position == self.checkpoint) "
            "or self.is_finished:"
        ),
        "if False:",
        "tests/core/test_lease.py",
    ),
    by_test(
        "what others wrote counts as unwritten",
        "kcl_py.core.lease:settle",
        "if row.counter == before.counter and row.effective_owner == before.effective_owner:",
        "if True:",
        "tests/core/test_settle.py",
    ),
    by_test(
        "ConditionFailed is swallowed",
        "kcl_py.runtime.leases.held_lease:HeldLease._try",
        ("            if await self._is_settled_by(tried):\n                return self.lease\n            raise"),
        "            return self._stands(change.after)",
        "tests/runtime/test_held_lease.py",
    ),
    by_test(
        "a vanished row is written though the session is over",
        "kcl_py.runtime.leases.held_lease:HeldLease._is_settled_by",
        "and self._is_session_live():",
        ":",
        "tests/runtime/test_held_lease.py",
    ),
    by_test(
        "a write to DynamoDB does not mind the counter",
        "kcl_py.aws.guard:of_change",
        "return _all(*_owners(before), _as_seen(columns.COUNTER, before.counter))",
        "return _all(*_owners(before))",
        "tests/aws/test_conditions.py",
    ),
    by_test(
        "a write to DynamoDB does not mind the owners",
        "kcl_py.aws.guard:_owners",
        "        _as_seen(columns.OWNER, lease.owner),",
        "",
        "tests/aws/test_conditions.py",
    ),
    by_law(
        "a table that checks no condition",
        "kcl_py.local.memory_lease_table:MemoryLeaseTable.write",
        "if row is None or _guard(row, change) != _guard(before, change):",
        "if row is None:",
        "late_writes",
        "forward_only",
        "guarded",
    ),
    by_law(
        "a lost answer is taken for success",
        "kcl_py.runtime.leases.held_lease:HeldLease._try",
        "            raise  # it may have landed: the next try finds out",
        "            return self._stands(change.after)",
        "lost_requests",
        "in_order",
    ),
    by_test(
        "no last look",
        "kcl_py.runtime.leases.succession:Succession.last_look",
        "snapshot = await self._table.snapshot()",
        "return",
        "tests/runtime/test_succession.py",
    ),
    by_test(
        "the receiver of a hand-off is not checked",
        "kcl_py.runtime.leases.hand_off:HandOff.run",
        "if not await self._may_receive(receiver):",
        "if False:",
        "tests/runtime/test_holdings.py",
    ),
    by_test(
        "the index is believed",
        "kcl_py.runtime.leases.intake:Intake.look",
        "self._holdings.look_at(held - named)",
        "pass",
        "tests/runtime/test_intake.py",
    ),
    by_test(
        "the entry goes before the leases",
        "kcl_py.runtime.departure:Departure.complete",
        "await self._holdings.give_up_all()",
        "await self._heartbeat.delete(); await self._holdings.give_up_all()",
        "tests/runtime/test_departure.py",
    ),
)
