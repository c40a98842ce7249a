------------------------------------- MODULE Planner -------------------------------------
\* What the steps are, and what follows from where an execution stands. No time, no database, no worker: what
\* sagas/planner.py and sagas/states.py are for the engine.
\*
\*   Book  an event in a calendar, by one call under an id that we choose. Undo: remove the event; its id is
\*         used up, also where no event had been added.
\*   Pay   a card is charged, by two calls under one key: create, then confirm. Only the second moves money.
\*         Undo: cancel what is not confirmed, refund what is.
\*   Tell  the customer is written to. There is no key, so the call must not be repeated in doubt
\*         (idempotent=False), and there is no undo.

EXTENDS Integers, Sequences, FiniteSets

\* The rule that is left out, to show that it is needed and that its loss is noticed; "nothing" is the engine.
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
\* A position is what the history says. `marks`, for each step: todo, done, doubt (nobody knows), undone, or stuck
\* (its undo was refused for good). `over`: the attempts of the step at hand have ended for good, unsuccessfully.

Start == [state |-> "in_progress", marks |-> [s \in Steps |-> "todo"], over |-> FALSE]

Compensating(p) == p.state = "compensating"

\* Promise 5: what succeeded is undone, and what is in doubt.
ToUndo(p) == {s \in HasUndo : p.marks[s] \in {"done", "doubt"}}

ToDo(p) == {s \in Steps : p.marks[s] # "done"}

First(steps) == CHOOSE s \in steps : \A other \in steps : s <= other
Last(steps) == CHOOSE s \in steps : \A other \in steps : s >= other

\* Promise 5: in strict reverse order.
StepAtHand(p) ==
    IF ~Compensating(p) THEN First(ToDo(p))
    ELSE IF Without = "the reverse order" THEN First(ToUndo(p))
    ELSE Last(ToUndo(p))

\* Whether the next move is an attempt; if not, the position leads to another state.
AttemptNext(p) == IF Compensating(p) THEN ToUndo(p) # {} ELSE ToDo(p) # {} /\ ~p.over

StateAfter(p) ==
    CASE AttemptNext(p)                     -> p.state
      [] Compensating(p)                    -> IF \E s \in Steps : p.marks[s] = "stuck"
                                               THEN "partially_compensated" ELSE "failed"
      [] ~Compensating(p) /\ p.over         -> IF ToUndo(p) = {} THEN "failed" ELSE "compensating"
      [] OTHER                              -> "succeeded"

Moved(p) == [p EXCEPT !.state = StateAfter(p)]

RolledBack(p) == Moved([p EXCEPT !.over = TRUE])

\* Promise 2: the beginning of an action that must not be repeated in doubt is put down first.
NeedsMark(p) == ~Compensating(p) /\ StepAtHand(p) \notin Idempotent

------------------------------------------------------------------------------------------
\* The position once the attempt at hand has ended with this outcome; `again` = there may be another attempt.

\* How often a step is tried is left open; what is in doubt and not idempotent is not tried again (promise 4).
MayTryAgain(p) == Compensating(p) \/ StepAtHand(p) \in Idempotent

ActionFiled(p, outcome, again) ==
    LET Marked(mark) == [p EXCEPT !.marks[StepAtHand(p)] = mark]
    IN  CASE outcome = "succeeded" -> Marked("done")
             \* Promise 3: a refusal does not clear an earlier doubt.
          [] outcome = "refused"   -> [IF Without = "lasting doubt" THEN Marked("todo") ELSE p EXCEPT !.over = TRUE]
             \* Promise 3: what may have happened is not what did not happen.
          [] outcome = "uncertain" -> [IF Without = "doubt" THEN p ELSE Marked("doubt") EXCEPT !.over = ~again]

UndoFiled(p, outcome) ==
    LET Marked(mark) == [p EXCEPT !.marks[StepAtHand(p)] = mark]
    IN  CASE outcome = "succeeded" -> Marked("undone")
          [] outcome = "refused"   -> Marked("stuck")
          [] outcome = "uncertain" -> p

Filed(p, outcome, again) ==
    IF Compensating(p) THEN UndoFiled(p, outcome) ELSE ActionFiled(p, outcome, again)

------------------------------------------------------------------------------------------
\* The calls of an attempt, one after the other, and what each makes of what the provider has under its key.

Calls(p) ==
    LET step == StepAtHand(p)
    IN  CASE step = Book /\ ~Compensating(p) -> <<"add">>
          [] step = Pay  /\ ~Compensating(p) -> <<"create", "confirm">>
          [] step = Tell                     -> <<"send">>
          [] step = Book /\ Compensating(p)  -> <<"remove">>
             \* Promise 6: in doubt the harmless create is replayed, so that there is something to cancel, and
             \* a late confirm finds it cancelled.
          [] step = Pay  /\ Compensating(p)  -> IF p.marks[Pay] = "doubt" /\ Without # "the dead key"
                                                THEN <<"create", "cancel">> ELSE <<"cancel">>

\* none -> created -> stands -> gone, never back: under one key nothing begins anew.
After(call, found) ==
    CASE call \in {"add", "send"} /\ found = "none"            -> "stands"
      [] call = "create" /\ found = "none"                     -> "created"
      [] call = "confirm" /\ found = "created"                 -> "stands"
      [] call = "cancel" /\ found \in {"created", "stands"}    -> "gone"
      [] call = "remove" /\ found = "stands"                   -> "gone"
         \* Promise 6: the id of an event that has not been added yet is used up.
      [] call = "remove" /\ found = "none"                     -> IF Without = "the dead key" THEN "none" ELSE "gone"
      [] OTHER                                                 -> found
==========================================================================================
