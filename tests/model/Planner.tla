------------------------------------- MODULE Planner -------------------------------------
\* The steps, and the next move from each position of an execution. This module knows no time, database or worker.
\* It models sagas/engine/planner.py and sagas/definition/states.py.
\*
\*   Book  Add an event to a calendar, by one call under an id that the saga chooses. Compensation: remove the event.
\*         The id is then used up, also if no event had been added.
\*   Pay   Charge a card, by two calls under one key: create, then confirm. Only the second call moves money.
\*         Compensation: cancel an unconfirmed charge, refund a confirmed one.
\*   Tell  Write to the customer. There is no key, so the call must not be repeated in doubt (idempotent=False).
\*         There is no compensation.

EXTENDS Integers, Sequences, FiniteSets

\* The rule to leave out, which must break a promise; "nothing" is the complete engine.
CONSTANT Without

Book == 1
Pay == 2
Tell == 3
Steps == {Book, Pay, Tell}
HasUndo == {Book, Pay}
HasKey == {Book, Pay}
Idempotent == {Book, Pay}

Terminal == {"succeeded", "failed", "partially_compensated"}

------------------------------------------------------------------------------------------
\* A position summarizes the history. `marks`, for each step: todo, done, doubt (in doubt), undone (compensated), or
\* stuck (the compensation was refused). `over`: the current step has failed and has no attempts left.

Start == [state |-> "in_progress", marks |-> [s \in Steps |-> "todo"], over |-> FALSE]

Compensating(p) == p.state = "compensating"

\* Promise 5: compensate the steps that succeeded or are in doubt.
ToUndo(p) == {s \in HasUndo : p.marks[s] \in {"done", "doubt"}}

ToDo(p) == {s \in Steps : p.marks[s] # "done"}

First(steps) == CHOOSE s \in steps : \A other \in steps : s <= other
Last(steps) == CHOOSE s \in steps : \A other \in steps : s >= other

\* Promise 5: compensate in reverse order.
StepAtHand(p) ==
    IF ~Compensating(p) THEN First(ToDo(p))
    ELSE IF Without = "the reverse order" THEN First(ToUndo(p))
    ELSE Last(ToUndo(p))

\* Whether the next move is an attempt. If not, the execution changes its state.
AttemptNext(p) == IF Compensating(p) THEN ToUndo(p) # {} ELSE ToDo(p) # {} /\ ~p.over

StateAfter(p) ==
    CASE AttemptNext(p)                     -> p.state
      [] Compensating(p)                    -> IF \E s \in Steps : p.marks[s] = "stuck"
                                               THEN "partially_compensated" ELSE "failed"
      [] ~Compensating(p) /\ p.over         -> IF ToUndo(p) = {} THEN "failed" ELSE "compensating"
      [] OTHER                              -> "succeeded"

Moved(p) == [p EXCEPT !.state = StateAfter(p)]

RolledBack(p) == Moved([p EXCEPT !.over = TRUE])

\* Promise 2: before an action that must not be repeated in doubt, its start is recorded.
NeedsMark(p) == ~Compensating(p) /\ StepAtHand(p) \notin Idempotent

------------------------------------------------------------------------------------------
\* The position after the current attempt has ended with this outcome. `again`: another attempt may follow.

\* The number of retries is open. A step that is in doubt and not idempotent is not retried (promise 4).
MayTryAgain(p) == Compensating(p) \/ StepAtHand(p) \in Idempotent

ActionFiled(p, outcome, again) ==
    LET Marked(mark) == [p EXCEPT !.marks[StepAtHand(p)] = mark]
    IN  CASE outcome = "succeeded" -> Marked("done")
             \* Promise 3: a refusal does not clear the doubt about an earlier attempt.
          [] outcome = "refused"   -> [IF Without = "lasting doubt" THEN Marked("todo") ELSE p EXCEPT !.over = TRUE]
             \* Promise 3: in doubt is not the same as failed.
          [] outcome = "uncertain" -> [IF Without = "doubt" THEN p ELSE Marked("doubt") EXCEPT !.over = ~again]

UndoFiled(p, outcome) ==
    LET Marked(mark) == [p EXCEPT !.marks[StepAtHand(p)] = mark]
    IN  CASE outcome = "succeeded" -> Marked("undone")
          [] outcome = "refused"   -> Marked("stuck")
          [] outcome = "uncertain" -> p

Filed(p, outcome, again) ==
    IF Compensating(p) THEN UndoFiled(p, outcome) ELSE ActionFiled(p, outcome, again)

------------------------------------------------------------------------------------------
\* The calls of an attempt in order, and how each call changes the provider's entry for its key.

Calls(p) ==
    LET step == StepAtHand(p)
    IN  CASE step = Book /\ ~Compensating(p) -> <<"add">>
          [] step = Pay  /\ ~Compensating(p) -> <<"create", "confirm">>
          [] step = Tell                     -> <<"send">>
          [] step = Book /\ Compensating(p)  -> <<"remove">>
             \* Promise 6: in doubt, the compensation repeats the harmless create and cancels it. A late confirm then
             \* finds a cancelled charge.
          [] step = Pay  /\ Compensating(p)  -> IF p.marks[Pay] = "doubt" /\ Without # "the dead key"
                                                THEN <<"create", "cancel">> ELSE <<"cancel">>

\* An entry goes forward only: none -> created -> stands -> gone. A used key starts no new effect.
After(call, found) ==
    CASE call \in {"add", "send"} /\ found = "none"            -> "stands"
      [] call = "create" /\ found = "none"                     -> "created"
      [] call = "confirm" /\ found = "created"                 -> "stands"
      [] call = "cancel" /\ found \in {"created", "stands"}    -> "gone"
      [] call = "remove" /\ found = "stands"                   -> "gone"
         \* Promise 6: the removal uses up the id of an event that has not been added yet.
      [] call = "remove" /\ found = "none"                     -> IF Without = "the dead key" THEN "none" ELSE "gone"
      [] OTHER                                                 -> found
==========================================================================================
