------------------------------------- MODULE Engine --------------------------------------
\* One execution, and several workers that claim it, advance it, lose it and take it over.
\*
\* Faults: a worker crashes at any point. A worker pauses until its lease has expired, and continues later. A reply
\* is lost. A late request, for which no worker waits, arrives at any time, also after the end, or never. A provider
\* refuses. An operator cancels. Workers do not read their own clock, so no promise depends on it.
\*
\* Bounded: the number of workers; the total number of crashes, pauses, lost replies and refused compensations
\* (`Faults`); one cancel. Not bounded: refused actions, late arrivals, and the order of events.

EXTENDS Planner

CONSTANTS Workers, Faults

VARIABLES
    row,        \* the execution in the database
    hands,      \* for each worker: its copy of the execution, and what it is doing
    late,       \* requests that are sent and for which no worker waits
    ledger,     \* what the providers have, for each step and key
    faults,     \* the number of faults that may still happen
    cancelled   \* whether a cancel was accepted

vars == <<row, hands, late, ledger, faults, cancelled>>

\* A step without a key makes a new request at each attempt. Two keys are enough to see a doubled effect.
Keys == {1, 2}

\* `known` and `version`: the row's position and version when this worker last read them. `call`: the number of the
\* worker's current call. `missed`: whether the worker's lease has expired since the last renewal.
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
\* The next action of a worker that owns the row.

Calling(w) == hands[w].doing = "calling"

Request(hand) == [step |-> StepAtHand(hand.known), call |-> Calls(hand.known)[hand.call], key |-> hand.key]

UsedKeys(step) ==
    {k \in Keys : ledger[step][k] # "none"}
        \cup {r.key : r \in {q \in late : q.step = step}}
        \cup {hands[w].key : w \in {v \in Workers : Calling(v) /\ StepAtHand(hands[v].known) = step}}

\* Promise 7: all attempts of a step have the same key, if the provider accepts keys.
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
\* The database. Each action is one commit and has the name of the statement in sagas/storage/.

\* Promise 8: if the row has another version, the lease is lost and the worker's copy is out of date.
Lost(w) == hands[w].version # row.version /\ Without # "the version check"

Drop(w) == hands' = [hands EXCEPT ![w] = Idle]

\* Promise 2: a step that needs a mark and has none was not called.
NeverCalled(r) == NeedsMark(r) /\ (~r.begun \/ Without = "the mark")

\* Promise 8: only the database's clock decides whether a lease has expired.
MayClaim ==
    \/ row.due /\ UNCHANGED faults
    \/ Without = "the database's clock" /\ row.leased /\ ~row.due /\ faults > 0 /\ faults' = faults - 1

\* CLAIM. Promise 2: the owner of a row that is still leased crashed or lost its lease. That owner's attempt is in
\* doubt.
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

\* MARK. Promise 2: record that an action that must not be repeated is about to be called. Promise 9: a pending
\* request prevents the mark.
Mark(w) ==
    /\ hands[w].doing = "marking"
    /\ IF Lost(w) THEN Drop(w) /\ UNCHANGED row
       ELSE IF row.requested THEN hands' = [hands EXCEPT ![w] = GoingOn(@, TRUE)] /\ UNCHANGED row
       ELSE row' = [row EXCEPT !.begun = TRUE] /\ hands' = [hands EXCEPT ![w] = BeginningToCall(@)]
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* RENEW. Promise 8: a heartbeat extends the lease and does not change the version.
Renew(w) ==
    /\ hands[w].missed /\ hands[w].version = row.version
    /\ row' = [row EXCEPT !.due = FALSE]
    /\ hands' = [hands EXCEPT ![w].missed = FALSE]
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* POSITION. Promise 1: one write contains the attempt and the new position. A worker that leaves gives the row back;
\* the row is then due, unless the execution has ended.
Written(p, leaves) ==
    [row EXCEPT !.version = @ + 1, !.state = p.state, !.marks = p.marks, !.over = p.over, !.begun = FALSE,
                !.leased = ~leaves, !.due = IF leaves THEN p.state \notin Terminal ELSE @]

Write(w, new) ==
    /\ row' = new
    /\ hands' = [hands EXCEPT ![w] = IF new.leased THEN GoingOn(Knowing(@, new), new.requested) ELSE Idle]

\* Promise 9: with a pending request, the worker records only the attempt, keeps the row, and then obeys the request.
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

\* Promise 9: the owner obeys the request. If the execution already compensates, a cancel changes nothing.
Obey(w) ==
    /\ hands[w].doing = "obeying"
    /\ IF Lost(w) THEN Drop(w) /\ UNCHANGED row
       ELSE LET moved == RolledBack(hands[w].known)
            IN  Write(w, [Written(moved, moved.state \in Terminal) EXCEPT !.requested = FALSE])
    /\ UNCHANGED <<late, ledger, faults, cancelled>>

\* An operation. Promise 8: on a leased row, it sets a request and does not change the version.
Cancel ==
    /\ ~cancelled /\ row.state \in {"pending", "in_progress"}
    /\ cancelled' = TRUE
    /\ row' = IF row.leased
              THEN [row EXCEPT !.requested = TRUE, !.version = IF Without = "quiet requests" THEN @ + 1 ELSE @]
              ELSE Written(RolledBack([row EXCEPT !.state = "in_progress"]), TRUE)
    /\ UNCHANGED <<hands, late, ledger, faults>>

------------------------------------------------------------------------------------------
\* The providers. A worker that is "calling" is about to send its request, has sent it, or waits for the reply.

Reach(request) == ledger' = [ledger EXCEPT ![request.step][request.key] = After(request.call, @)]

\* The provider carries out the request, and the reply arrives. An action whose key was used up by a compensation is
\* refused (promise 6).
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

\* The provider refuses, and the reply arrives: this request had certainly no effect.
Refuse(w) ==
    /\ Calling(w)
    /\ IF Compensating(hands[w].known) THEN faults > 0 /\ faults' = faults - 1 ELSE UNCHANGED faults
    /\ hands' = [hands EXCEPT ![w] = Ending(@, "refused")]
    /\ UNCHANGED <<row, late, ledger, cancelled>>

\* Promise 3: the worker cannot know whether the request has arrived, will arrive later, or never arrives.
LoseReply(w) ==
    /\ Calling(w) /\ faults > 0
    /\ faults' = faults - 1
    /\ late' = late \cup {Request(hands[w])}
    /\ hands' = [hands EXCEPT ![w] = Ending(@, "uncertain")]
    /\ UNCHANGED <<row, ledger, cancelled>>

\* A late request arrives: at once, after its compensation, or after the end.
Arrive ==
    /\ \E request \in late : Reach(request) /\ ledger' # ledger /\ late' = late \ {request}
    /\ UNCHANGED <<row, hands, faults, cancelled>>

------------------------------------------------------------------------------------------
\* Crashes and leases.

\* A process crashes and loses its memory; a new process replaces it. A request that was sent may still arrive.
Crash(w) ==
    /\ hands[w].doing # "nothing" /\ faults > 0
    /\ faults' = faults - 1
    /\ late' = IF Calling(w) THEN late \cup {Request(hands[w])} ELSE late
    /\ Drop(w)
    /\ UNCHANGED <<row, ledger, cancelled>>

Owners == {w \in Workers : hands[w].doing # "nothing" /\ hands[w].version = row.version}

\* The lease of a crashed owner expires.
RunOut ==
    /\ row.leased /\ ~row.due /\ Owners = {} /\ Without # "the end of leases"
    /\ row' = [row EXCEPT !.due = TRUE]
    /\ UNCHANGED <<hands, late, ledger, faults, cancelled>>

\* An owner is paused, or cut off from the database, until its lease expires. It may continue at any time.
Pause(w) ==
    /\ w \in Owners /\ ~row.due /\ faults > 0
    /\ faults' = faults - 1
    /\ row' = [row EXCEPT !.due = TRUE]
    /\ hands' = [hands EXCEPT ![w].missed = TRUE]
    /\ UNCHANGED <<late, ledger, cancelled>>

\* The execution has ended. TLC reports every other state without a next action as a deadlock.
Rest == row.state \in Terminal /\ UNCHANGED vars

Work(w) == Claim(w) \/ Mark(w) \/ Answer(w) \/ Checkpoint(w) \/ Obey(w)

Next ==
    \/ \E w \in Workers : Work(w) \/ Renew(w) \/ Refuse(w) \/ LoseReply(w) \/ Crash(w) \/ Pause(w)
    \/ Arrive \/ Cancel \/ RunOut \/ Rest

Spec == Init /\ [][Next]_vars

\* The conditions of an end: leases expire, and a worker that is not paused keeps working. Paused workers need not
\* continue, and late requests need not arrive.
FairSpec == Spec /\ WF_vars(RunOut \/ \E w \in Workers : ~hands[w].missed /\ Work(w))
==========================================================================================
