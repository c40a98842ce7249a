------------------------------------- MODULE Engine --------------------------------------
\* One execution, and several workers that claim it, carry it on, lose it and take it over.
\*
\* What goes wrong: a worker dies, or is paused beyond the end of its lease and goes on later, at any point; a reply
\* is lost; a request for which nobody waits any more arrives later, also after the end, or never; a provider
\* refuses; an operator cancels. No worker looks at its own clock before it acts, so that nothing can depend on it.
\*
\* Bounds: the number of workers; `Faults`, how many deaths, pauses, lost replies and refused undos there may be
\* altogether; one cancel. Not bounded: refused actions, late arrivals, and when and in which order anything happens.

EXTENDS Planner

CONSTANTS Workers, Faults

VARIABLES
    row,        \* the execution in the database
    hands,      \* for each worker: the execution as it knows it, and what it is doing
    late,       \* requests that are under way and for which nobody waits any more
    ledger,     \* what the providers have, for each step and key
    faults,     \* how many more faults there may be
    cancelled   \* whether a cancel was accepted

vars == <<row, hands, late, ledger, faults, cancelled>>

\* What has no key is another request each time. Two keys suffice to see that something has happened twice.
Keys == {1, 2}

\* `known` and `version` are the row's position and version as this worker last saw them; `call`, the number of the
\* call it is making; `missed`, that its lease has run out since it last renewed it.
Idle == [doing |-> "nothing", known |-> Start, version |-> 0, call |-> 0, key |-> 0, outcome |-> "", missed |-> FALSE]

Init ==
    /\ row = [state |-> "pending", marks |-> Start.marks, over |-> FALSE, begun |-> FALSE,
              version |-> 1, leased |-> FALSE, due |-> TRUE, requested |-> FALSE]
    /\ hands = [w \in Workers |-> Idle]
    /\ late = {}
    /\ ledger = [s \in Steps |-> [k \in Keys |-> "none"]]
    /\ faults = Faults
    /\ cancelled = FALSE

------------------------------------------------------------------------------------------
\* What a worker does next with the row in hand.

Calling(w) == hands[w].doing = "calling"

Request(hand) == [step |-> StepAtHand(hand.known), call |-> Calls(hand.known)[hand.call], key |-> hand.key]

UsedKeys(step) ==
    {k \in Keys : ledger[step][k] # "none"}
        \cup {r.key : r \in {q \in late : q.step = step}}
        \cup {hands[w].key : w \in {v \in Workers : Calling(v) /\ StepAtHand(hands[v].known) = step}}

\* Promise 7: the same key for all attempts of a step, where the provider takes one.
KeyOf(step) ==
    IF step \in HasKey /\ Without # "the key" THEN 1
    ELSE IF Keys \subseteq UsedKeys(step) THEN 2
    ELSE First(Keys \ UsedKeys(step))

Doing(hand, what) == [hand EXCEPT !.doing = what, !.call = 0, !.key = 0, !.outcome = ""]

BeginningToCall(hand) == [Doing(hand, "calling") EXCEPT !.call = 1, !.key = KeyOf(StepAtHand(hand.known))]

GoingOn(hand, requested) ==
    IF requested THEN Doing(hand, "obeying")
    ELSE IF NeedsMark(hand.known) THEN Doing(hand, "marking")
    ELSE BeginningToCall(hand)

Ending(hand, outcome) == [Doing(hand, "filing") EXCEPT !.outcome = outcome]

Knowing(hand, new) ==
    [hand EXCEPT !.version = new.version, !.known = [state |-> new.state, marks |-> new.marks, over |-> new.over]]

------------------------------------------------------------------------------------------
\* The database. Each of these actions is one commit, named as in sagas/storage/.

\* Promise 8: no row has this id and this version = the lease is lost, and what we know is void.
Lost(w) == hands[w].version # row.version /\ Without # "the version check"

Drop(w) == hands' = [hands EXCEPT ![w] = Idle]

\* Promise 2: where a mark would have been made first and is not there, nothing was called.
NeverCalled(r) == NeedsMark(r) /\ (~r.begun \/ Without = "the mark")

\* Promise 8: the database's clock says when a lease has run out.
MayClaim ==
    \/ row.due /\ UNCHANGED faults
    \/ Without = "the database's clock" /\ row.leased /\ ~row.due /\ faults > 0 /\ faults' = faults - 1

\* CLAIM. Promise 2: a row that is still leased had an owner that crashed or lost its lease; its attempt is in doubt.
Claim(w) ==
    /\ hands[w].doing = "nothing" /\ row.state \notin Terminal /\ MayClaim
    /\ LET new == [row EXCEPT !.version = @ + 1, !.leased = TRUE, !.due = FALSE,
                              !.state = IF @ = "pending" THEN "in_progress" ELSE @]
           hand == Knowing(Idle, new)
           takesOver == row.leased /\ AttemptNext(new) /\ ~NeverCalled(new)
       IN  /\ row' = new
           /\ hands' = [hands EXCEPT ![w] = IF takesOver THEN Ending(hand, "uncertain")
                                            ELSE GoingOn(hand, new.requested)]
    /\ UNCHANGED <<late, ledger, cancelled>>

\* MARK. Promise 2: an action that must not be repeated is about to be called. Promise 9: not over a request.
Mark(w) ==
    /\ hands[w].doing = "marking"
    /\ IF Lost(w) THEN Drop(w) /\ UNCHANGED row
       ELSE IF row.requested THEN hands' = [hands EXCEPT ![w] = GoingOn(@, TRUE)] /\ UNCHANGED row
       ELSE row' = [row EXCEPT !.begun = TRUE] /\ hands' = [hands EXCEPT ![w] = BeginningToCall(@)]
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* RENEW. Promise 8: a heartbeat moves the end of the lease and raises nothing.
Renew(w) ==
    /\ hands[w].missed /\ hands[w].version = row.version
    /\ row' = [row EXCEPT !.due = FALSE]
    /\ hands' = [hands EXCEPT ![w].missed = FALSE]
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* POSITION. Promise 1: the attempt and where it leads are one write. Who leaves gives the row back, due unless ended.
Written(p, leaves) ==
    [row EXCEPT !.version = @ + 1, !.state = p.state, !.marks = p.marks, !.over = p.over, !.begun = FALSE,
                !.leased = ~leaves, !.due = IF leaves THEN p.state \notin Terminal ELSE @]

Write(w, new) ==
    /\ row' = new
    /\ hands' = [hands EXCEPT ![w] = IF new.leased THEN GoingOn(Knowing(@, new), new.requested) ELSE Idle]

\* Promise 9: nothing is settled or parked over a request: the attempt is filed alone, then the request obeyed.
Checkpoint(w) ==
    /\ hands[w].doing = "filing"
    /\ IF Lost(w) THEN Drop(w) /\ UNCHANGED row
       ELSE \E again, later \in BOOLEAN :
            LET inDoubt == hands[w].outcome = "uncertain"
                filed == Filed(hands[w].known, hands[w].outcome, again)
                moved == Moved(filed)
                leaves == later \/ moved.state \in Terminal
            IN  /\ again => inDoubt /\ MayTryAgain(hands[w].known)
                /\ later => again
                /\ IF leaves /\ row.requested /\ Without # "the guard of requests"
                   THEN Write(w, Written(filed, FALSE))
                   ELSE Write(w, Written(moved, leaves))
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* Promise 9: the owner does what was asked for; while compensating there is nothing more to do.
Obey(w) ==
    /\ hands[w].doing = "obeying"
    /\ IF Lost(w) THEN Drop(w) /\ UNCHANGED row
       ELSE LET moved == RolledBack(hands[w].known)
            IN  Write(w, [Written(moved, moved.state \in Terminal) EXCEPT !.requested = FALSE])
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* An operation. Promise 8: on a leased row it sets a request and leaves the version alone.
Cancel ==
    /\ ~cancelled /\ row.state \in {"pending", "in_progress"}
    /\ cancelled' = TRUE
    /\ row' = IF row.leased
              THEN [row EXCEPT !.requested = TRUE, !.version = IF Without = "quiet requests" THEN @ + 1 ELSE @]
              ELSE Written(RolledBack([row EXCEPT !.state = "in_progress"]), TRUE)
    /\ UNCHANGED <<hands, late, ledger, faults>>

------------------------------------------------------------------------------------------
\* The providers. Who is "calling" is about to send its request, has sent it, or waits for the reply.

Reach(request) == ledger' = [ledger EXCEPT ![request.step][request.key] = After(request.call, @)]

\* The provider does what it is asked and is heard. An action that finds its key dead is refused (promise 6).
Answer(w) ==
    /\ Calling(w)
    /\ LET hand == hands[w]
           request == Request(hand)
           deadKey == ~Compensating(hand.known) /\ ledger'[request.step][request.key] = "gone"
       IN  /\ Reach(request)
           /\ hands' = [hands EXCEPT ![w] =
                IF deadKey THEN Ending(@, "refused")
                ELSE IF hand.call = Len(Calls(hand.known)) THEN Ending(@, "succeeded")
                ELSE [@ EXCEPT !.call = @ + 1]]
    /\ UNCHANGED <<row, late, faults, cancelled>>

\* The provider refuses, and is heard: this request has certainly had no effect.
Refuse(w) ==
    /\ Calling(w)
    /\ IF Compensating(hands[w].known) THEN faults > 0 /\ faults' = faults - 1 ELSE UNCHANGED faults
    /\ hands' = [hands EXCEPT ![w] = Ending(@, "refused")]
    /\ UNCHANGED <<row, late, ledger, cancelled>>

\* Promise 3: nobody knows whether the request has arrived, will arrive, or never does.
LoseReply(w) ==
    /\ Calling(w) /\ faults > 0
    /\ faults' = faults - 1
    /\ late' = late \cup {Request(hands[w])}
    /\ hands' = [hands EXCEPT ![w] = Ending(@, "uncertain")]
    /\ UNCHANGED <<row, ledger, cancelled>>

\* A request arrives for which nobody waits: at once, after its undo, or after the end.
Arrive ==
    /\ \E request \in late : Reach(request) /\ ledger' # ledger /\ late' = late \ {request}
    /\ UNCHANGED <<row, hands, faults, cancelled>>

------------------------------------------------------------------------------------------
\* Deaths and leases.

\* A process dies and forgets; another takes its place. What it has sent may still arrive.
Crash(w) ==
    /\ hands[w].doing # "nothing" /\ faults > 0
    /\ faults' = faults - 1
    /\ late' = IF Calling(w) THEN late \cup {Request(hands[w])} ELSE late
    /\ Drop(w)
    /\ UNCHANGED <<row, ledger, cancelled>>

Owners == {w \in Workers : hands[w].doing # "nothing" /\ hands[w].version = row.version}

\* The lease of a dead owner runs out.
RunOut ==
    /\ row.leased /\ ~row.due /\ Owners = {} /\ Without # "the end of leases"
    /\ row' = [row EXCEPT !.due = TRUE]
    /\ UNCHANGED <<hands, late, ledger, faults, cancelled>>

\* An owner is paused, or cut off from the database, for so long that its lease runs out. It may go on at any time.
Pause(w) ==
    /\ w \in Owners /\ ~row.due /\ faults > 0
    /\ faults' = faults - 1
    /\ row' = [row EXCEPT !.due = TRUE]
    /\ hands' = [hands EXCEPT ![w].missed = TRUE]
    /\ UNCHANGED <<late, ledger, cancelled>>

\* It has ended. TLC takes every other state in which nothing can happen for a deadlock.
Rest == row.state \in Terminal /\ UNCHANGED vars

Work(w) == Claim(w) \/ Mark(w) \/ Answer(w) \/ Checkpoint(w) \/ Obey(w)

Next ==
    \/ \E w \in Workers : Work(w) \/ Renew(w) \/ Refuse(w) \/ LoseReply(w) \/ Crash(w) \/ Pause(w)
    \/ Arrive \/ Cancel \/ RunOut \/ Rest

Spec == Init /\ [][Next]_vars

\* What it takes to come to an end: leases run out, and somebody works who is not paused. Nothing else need ever
\* happen: no paused worker need go on, and no late request arrive.
FairSpec == Spec /\ WF_vars(RunOut \/ \E w \in Workers : ~hands[w].missed /\ Work(w))
==========================================================================================
