------------------------------------ MODULE Promises -------------------------------------
\* What must hold in every state that the engine can reach. "The end" is never the last state: late requests, and
\* workers that were paused, go on after it.

EXTENDS Engine, TLC

Standing(step) == {k \in Keys : ledger[step][k] = "stands"}
Gone(step) == {k \in Keys : ledger[step][k] = "gone"}
At(w) == hands[w].doing # "nothing"

\* A saga that has succeeded: each effect exactly once, and nothing was undone.
SuccessIsWhole ==
    row.state = "succeeded" => \A s \in Steps : Cardinality(Standing(s)) = 1 /\ Gone(s) = {}

\* Whatever becomes of the saga: no effect twice.
NothingHappensTwice == \A s \in Steps : Cardinality(Standing(s)) <= 1

\* A saga that has failed: nothing that can be undone stands, whatever arrives later.
NothingIsLeftBehind == row.state = "failed" => \A s \in HasUndo : Standing(s) = {}

\* A saga that could not be undone altogether: what stands is what it says, whatever arrives later.
WhatIsLeftIsReported ==
    row.state = "partially_compensated" => \A s \in HasUndo : Standing(s) # {} => row.marks[s] = "stuck"

\* By the providers' ledger: once a step is undone, none after it stands, unless its undo was refused.
UndoneInReverse ==
    \A s, after \in HasUndo :
        s < after /\ Gone(s) # {} => Standing(after) = {} \/ row.marks[after] = "stuck"

\* A cancel that was accepted is kept.
CancelIsKept == cancelled => row.state # "succeeded"

\* Of two workers that are at the execution, at least one has let its lease run out.
OneOwner == \A v, w \in Workers : At(v) /\ At(w) /\ v # w => hands[v].missed \/ hands[w].missed

\* An owner that renews in time keeps the row, whatever an operator asks for meanwhile.
OwnerKeepsItsRow == \A w \in Workers : At(w) /\ ~hands[w].missed => hands[w].version = row.version

\* A saga ends once.
OneEnd == [][row.state \in Terminal => row'.state = row.state]_vars

\* A worker that writes has seen what it writes over.
NoStaleWrite ==
    [][\A w \in Workers : At(w) /\ hands'[w] # hands[w] /\ row' # row => hands[w].version = row.version]_vars

\* Once the faults are over, it ends. (With FairSpec.)
ItEnds == <>(row.state \in Terminal)

------------------------------------------------------------------------------------------
\* What lets TLC look at one of many states that cannot be told apart by what follows from them.

\* Any worker could be any other.
Symmetry == Permutations(Workers)

\* A late request that finds its work done, or its key dead, changes nothing any more: the ledger only goes forward.
Spent(request) ==
    LET found == ledger[request.step][request.key]
    IN  \/ found = "gone"
        \/ found = "stands" /\ request.call \in {"add", "create", "confirm", "send"}
        \/ found = "created" /\ request.call = "create"

\* Of a version all that matters is whether it is the row's; and of a worker whose version is not, what it may
\* still call, for it writes nothing. (Not so without the version check: there this view is not used.)
Matters(w) ==
    LET hand == hands[w]
    IN  IF hand.version = row.version THEN <<"owner", [hand EXCEPT !.version = 0]>>
        ELSE IF Calling(w) THEN <<"fenced", Request(hand), Calls(hand.known), Compensating(hand.known), hand.missed>>
        ELSE <<"fenced", At(w), hand.missed>>

View ==
    <<[row EXCEPT !.version = 0], [w \in Workers |-> Matters(w)], {r \in late : ~Spent(r)}, ledger, faults, cancelled>>
==========================================================================================
