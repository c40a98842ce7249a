------------------------------------ MODULE Promises -------------------------------------
\* What must hold in every state that the engine can reach. States continue after the end of the execution, because
\* late requests still arrive and paused workers continue.

EXTENDS Engine, TLC

Standing(step) == {k \in Keys : ledger[step][k] = "stands"}
Gone(step) == {k \in Keys : ledger[step][k] = "gone"}
At(w) == hands[w].doing # "nothing"

\* If the saga succeeded, each effect took place exactly once and no step was compensated.
SuccessIsWhole ==
    row.state = "succeeded" => \A s \in Steps : Cardinality(Standing(s)) = 1 /\ Gone(s) = {}

\* In every state, no effect took place twice.
NothingHappensTwice == \A s \in Steps : Cardinality(Standing(s)) <= 1

\* If the saga failed, no effect of a step with a compensation remains, also after late requests.
NothingIsLeftBehind == row.state = "failed" => \A s \in HasUndo : Standing(s) = {}

\* If the saga is partially compensated, it reports every effect that remains, also after late requests.
WhatIsLeftIsReported ==
    row.state = "partially_compensated" => \A s \in HasUndo : Standing(s) # {} => row.marks[s] = "stuck"

\* In the providers' ledger: when a step is compensated, no later effect remains, unless its compensation was refused.
UndoneInReverse ==
    \A s, after \in HasUndo :
        s < after /\ Gone(s) # {} => Standing(after) = {} \/ row.marks[after] = "stuck"

\* After an accepted cancel, the saga does not succeed.
CancelIsKept == cancelled => row.state # "succeeded"

\* If two workers work on the execution, the lease of at least one has expired.
OneOwner == \A v, w \in Workers : At(v) /\ At(w) /\ v # w => hands[v].missed \/ hands[w].missed

\* An owner that renews its lease in time keeps the row, also when an operator makes a request.
OwnerKeepsItsRow == \A w \in Workers : At(w) /\ ~hands[w].missed => hands[w].version = row.version

\* A saga ends once.
OneEnd == [][row.state \in Terminal => row'.state = row.state]_vars

\* A worker writes only over the version that it has read.
NoStaleWrite ==
    [][\A w \in Workers : At(w) /\ hands'[w] # hands[w] /\ row' # row => hands[w].version = row.version]_vars

\* After the last fault, the execution ends. (With FairSpec.)
ItEnds == <>(row.state \in Terminal)

------------------------------------------------------------------------------------------
\* Reductions: TLC checks only one of several states that have the same future.

\* The workers are interchangeable.
Symmetry == Permutations(Workers)

\* A late request with an existing effect or a used key changes nothing, because the ledger goes forward only.
Spent(request) ==
    LET found == ledger[request.step][request.key]
    IN  \/ found = "gone"
        \/ found = "stands" /\ request.call \in {"add", "create", "confirm", "send"}
        \/ found = "created" /\ request.call = "create"

\* Of a version, only its equality with the row's version matters. A worker with another version writes nothing, so
\* only its remaining calls matter. (Without the version check this is false, and TLC does not use this view.)
Matters(w) ==
    LET hand == hands[w]
    IN  IF hand.version = row.version THEN <<"owner", [hand EXCEPT !.version = 0]>>
        ELSE IF Calling(w) THEN <<"fenced", Request(hand), Calls(hand.known), Compensating(hand.known), hand.missed>>
        ELSE <<"fenced", At(w), hand.missed>>

View ==
    <<[row EXCEPT !.version = 0], [w \in Workers |-> Matters(w)], {r \in late : ~Spent(r)}, ledger, faults, cancelled>>
==========================================================================================
