/*
 * The protocol of bpf/abi_shortcut.h: who decides about a client's next request. Promela, for spin (see tools/models/check).
 *
 * One client's connection, the agent, and two legs with a backend each. What one process does between two accesses of
 * memory that another one changes is one step; everything may happen in between. The programs run in the context of who
 * sends: bpf/shortcut.h is in client_sends and backend_sends, Worker+Offer.swift and Worker+Legs.swift are in Agent.
 *
 * Taken for granted: what is sent to one reader arrives in order, whoever has sent it (the guard of the accelerated
 * lane); a program that runs while a leg speaks has ended before the agent looks again (`suspicion`, 10 ms).
 *
 * Asserted: no byte of a request is in two hands; none is lost; nothing is answered twice, or out of order; the agent
 * reads nothing while a response is awaited; no connection with a request on it goes back to its pool. Whoever waits for
 * ever is in an invalid end state.
 *
 * PATIENT: the client never goes away with a request unanswered, so that one that is never answered is found.
 * CALM: besides, it sends whole requests, nothing fails but a backend, and the configuration does not change.
 * With one of these defined, there is a fault that has to be found:
 *   FAULT_BLIND_OFFER   requests are taken without a look at what is on its way to the agent
 *   FAULT_STORE         the word is taken back without a comparison
 *   FAULT_HASTY_READ    the agent reads before it has taken the connection back
 *   FAULT_LEG_CLOSED    a leg that speaks is closed if the connection cannot be taken back, whoever is asked on it
 *   FAULT_TWO_ANSWERS   the rest of a response that is left goes straight to the client
 *   FAULT_PARKED        a leg goes back to its pool although a response is awaited from it
 *   FAULT_SUSPICION     a leg is judged by an event alone, whether or not there is something to read
 */

#ifdef CALM
#define PATIENT
#endif

#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef LEGS
#define LEGS 2
#endif
#define NO_LEG LEGS

/* enum weft_shortcut_word */
#define OWNER 3
#define OF_AGENT 0
#define OFFERED 1
#define OF_KERNEL 2
#define AWAITING 4
#define ANSWERING 8
#define LEFT 16

/* What is sent: all of a message at once, or in two pieces. */
#define WHOLE 0
#define FIRST 1
#define LAST 2

/* struct weft_shortcut and weft_shortcut_leg; the word is changed by both. */
byte word = OF_AGENT;
byte offered_taken; /* pieces that the agent had taken when it offered */
byte asked_leg = NO_LEG;
bool is_stale; /* the configuration has changed since */
bool is_attached[LEGS];

/* Connections. */
chan to_agent = [4] of { byte, byte };
chan to_client = [4] of { byte, byte };
chan to_backend[LEGS] = [2] of { byte };
chan from_backend[LEGS] = [3] of { byte, byte };
bool has_quit; /* a backend, without being asked */
#ifndef CALM
bool has_failed, has_changed; /* a redirection; the configuration */
#endif
byte passed;                 /* pieces that the client has sent to the agent */
bool has_ended[LEGS];        /* by the backend */
bool is_closed[LEGS];        /* by the agent */
bool speaks[LEGS];           /* an event that the agent has not seen */
bool has_left, has_aborted;  /* the client */
bool is_over;                /* the agent has closed the client's connection */

/* What is true, whoever knows it. */
#define NOBODY 0
#define AGENT 1
#define KERNEL 2
byte hand[REQUESTS + 1];
byte answered;              /* requests whose response has gone to the client */
bool is_exchanging;         /* the agent has a request that is not answered */
byte outstanding[LEGS];     /* request that the program has sent, whose response has not begun to be anybody's */
byte running;               /* programs */

inline compare_and_swap(expected, wanted, result)
{
	d_step {
		result = (word == (expected));
		if
		:: result -> word = (wanted)
		:: else
		fi
	}
}

/* A piece of a response goes to the client. */
inline answer(r, piece)
{
	atomic {
		assert(r == answered + 1);
		if
		:: piece != FIRST -> answered++
		:: else
		fi;
		if
		:: !has_aborted && !has_left -> to_client!r, piece
		:: else
		fi
	}
}

/* ---------------------------------------------------------------------------------------------------- the client */

#define IS_USABLE(leg) (is_attached[leg] && !has_ended[leg])

/* A leg that the program may send on. */
inline choose_leg(leg)
{
	atomic {
		if
		:: IS_USABLE(0) -> leg = 0
#if LEGS > 1
		:: IS_USABLE(1) -> leg = 1
		:: !IS_USABLE(0) && !IS_USABLE(1) -> leg = NO_LEG
#else
		:: !IS_USABLE(0) -> leg = NO_LEG
#endif
		fi
	}
}

/* take_request, and what becomes of what it leaves. */
inline client_sends(r, piece)
{
	atomic {
		if
		:: is_over -> goto gone
		:: else
		fi;
		running++;
		seen = word
	}
	if
	:: (seen & OWNER) == OF_AGENT || piece != WHOLE || is_stale -> skip
#ifdef FAULT_BLIND_OFFER
	:: (seen & OWNER) != OF_AGENT && piece == WHOLE && !is_stale && seen <= OF_KERNEL ->
#else
	:: (seen & OWNER) != OF_AGENT && piece == WHOLE && !is_stale && (seen > OWNER || passed != offered_taken) -> skip
	:: (seen & OWNER) != OF_AGENT && piece == WHOLE && !is_stale && seen <= OWNER && passed == offered_taken ->
#endif
		choose_leg(leg);
		if
		:: leg == NO_LEG
		:: else ->
			asked_leg = leg;
			compare_and_swap(seen, OF_KERNEL | AWAITING, is_taken);
			if
			:: is_taken ->
				if
				:: atomic {
					assert(hand[r] == NOBODY && !is_exchanging && answered + 1 == r && passed == offered_taken);
					hand[r] = KERNEL;
					outstanding[leg] = r;
					to_backend[leg]!r
				   }
#ifndef CALM
				:: !has_failed -> has_failed = true; is_taken = false; word = seen /* it could not be redirected */
#endif
				fi
			:: else
			fi
		fi
#ifdef FAULT_BLIND_OFFER
	:: (seen & OWNER) != OF_AGENT && seen > OF_KERNEL -> skip
#endif
	fi;
	atomic {
		if
		:: !is_taken -> passed++; to_agent!r, piece
		:: else
		fi;
		running--;
		is_taken = false;
		leg = NO_LEG;
		seen = 0
	}
}

active proctype Client()
{
	byte next = 1, awaited = 1, seen = 0, leg = NO_LEG, r = 0, piece = 0;
	bool is_taken, has_begun;

	do
	/* One request may be sent ahead of the responses. */
	:: next <= REQUESTS && next < awaited + 2 && !is_over ->
		if
		:: true -> client_sends(next, WHOLE)
#ifndef CALM
		:: true -> client_sends(next, FIRST);
			client_sends(next, LAST)
#endif
		fi;
		next++
	:: to_client?r, piece ->
		assert(r == awaited && has_begun == (piece == LAST));
		has_begun = (piece == FIRST);
		if
		:: piece != FIRST -> awaited++
		:: else
		fi;
		r = 0; piece = 0
	:: awaited > REQUESTS -> break
#ifndef PATIENT
	:: next > awaited -> has_aborted = true; break
#endif
	:: is_over && empty(to_client) -> break
	od;
gone:
	has_left = true
}

/* -------------------------------------------------------------------------------------------------- the backends */

/* take_response, and what becomes of what it leaves. `is_short`: the program can send it on. */
inline backend_sends(leg, r, piece, is_short)
{
	running++;
	is_straight = false;
	seen = word;
	if
	:: is_attached[leg] && (seen & (OWNER | AWAITING | LEFT)) == (OF_KERNEL | AWAITING) && asked_leg == leg ->
		if
		:: seen & ANSWERING ->
			if
			:: true ->
				is_straight = true;
				answer(r, piece);
				outstanding[leg] = 0;
				compare_and_swap(OF_KERNEL | AWAITING | ANSWERING, OF_KERNEL, is_done)
#ifndef CALM
			:: !has_failed -> has_failed = true /* there was no room all the same: the agent finds it */
#endif
			fi
		:: else ->
			if
			:: is_short && piece == WHOLE ->
				is_straight = true;
				answer(r, piece);
				outstanding[leg] = 0;
				compare_and_swap(OF_KERNEL | AWAITING, OF_KERNEL, is_done)
			:: is_short && piece == FIRST ->
				compare_and_swap(OF_KERNEL | AWAITING, OF_KERNEL | AWAITING | ANSWERING, is_straight);
				if
				:: is_straight -> answer(r, piece)
				:: else
				fi
			/* It could not be redirected, or is none that could be. */
			:: true -> compare_and_swap(OF_KERNEL | AWAITING, OF_KERNEL | AWAITING | LEFT, is_done)
			fi
		fi
#ifdef FAULT_TWO_ANSWERS
	:: piece == LAST && seen & LEFT -> is_straight = true; answer(r, piece)
#endif
	:: else
	fi;
	atomic {
		if
		:: !is_straight && !is_closed[leg] -> from_backend[leg]!r, piece; speaks[leg] = true
		:: else
		fi;
		running--;
		is_straight = false; is_done = false;
		seen = 0
	}
}

proctype Backend(byte leg)
{
	byte r = 0, seen = 0;
	bool is_straight, is_done;

end_idle:
	do
	:: to_backend[leg]?r ->
		if
		:: backend_sends(leg, r, WHOLE, true)
		:: backend_sends(leg, r, WHOLE, false)
		:: backend_sends(leg, r, FIRST, true); backend_sends(leg, r, LAST, true)
		:: break
		fi;
		r = 0
	/* It has had enough, whether or not something is on its way to it. One that does is all that matters. */
	:: !has_quit -> has_quit = true; break
	:: is_closed[leg] || is_over -> break
	od;
	r = 0;
	atomic {
		has_ended[leg] = true;
		speaks[leg] = true
	}
	/* What still comes is read by nobody. */
end_over:
	do
	:: to_backend[leg]?_
	od
}

/* ----------------------------------------------------------------------------------------------------- the agent */

/* takeBack */
inline take_back(result)
{
	result = true;
	do
	:: !is_offered -> break
	:: else ->
		seen = word;
		if
		:: seen & AWAITING -> is_waiting = true; result = false; break
#ifdef FAULT_STORE
		:: else -> word = OF_AGENT; is_offered = false; is_waiting = false; break
#else
		:: else ->
			compare_and_swap(seen, OF_AGENT, is_done);
			if
			:: is_done -> is_offered = false; is_waiting = false; break
			:: else
			fi
#endif
		fi
	od;
	is_done = false;
	seen = 0
}

inline detach(l)
{
	is_attached[l] = false
}

inline close_leg(l)
{
	atomic {
		is_attached[l] = false;
		is_closed[l] = true;
		speaks[l] = false;
		do
		:: from_backend[l]?_, _
		:: empty(from_backend[l]) -> break
		od
	}
}

/* endShortcut, and the connection's end. */
inline close_client()
{
	busy = NO_LEG;
#ifndef FAULT_PARKED
	if
	:: word & AWAITING -> busy = asked_leg
	:: else
	fi;
#endif
	word = OF_AGENT;
	atomic {
		is_over = true;
	is_offered = false;
	is_waiting = false;
	suspect = NO_LEG;
	is_exchanging = false;
	for (number : 0 .. LEGS - 1) {
		if
		:: is_closed[number]
		:: !is_closed[number] && (busy == number || has_ended[number] || !is_attached[number]) -> close_leg(number)
		:: !is_closed[number] && busy != number && !has_ended[number] && is_attached[number] ->
			/* It is its pool's, for anybody's requests. */
			atomic {
				detach(number);
				assert(outstanding[number] == 0 || has_ended[number])
			}
		fi
	}
	number = 0; busy = NO_LEG
	}
}

/* A request has been answered: offers the next one. */
inline offer()
{
	atomic {
		number = 0;
		do
		:: number < LEGS ->
			if
			:: !is_closed[number] && !has_ended[number] && !is_attached[number] && empty(from_backend[number]) ->
				is_attached[number] = true
			:: true
			fi;
			number++
		:: number == LEGS -> break
		od;
		number = 0
	}
	/* It may not know yet of what has arrived since. */
	if
	:: is_attached[0] || is_attached[LEGS - 1] ->
		atomic {
			is_stale = false;
			offered_taken = taken;
			is_offered = true
		}
		word = OFFERED
	:: true
	fi
}

/* Passes the response that comes on a leg, or its end in place of one, to the client. */
inline relay(l, r)
{
	do
	:: atomic {
		from_backend[l]?request, piece ->
		assert(request == r);
		answer(r, piece);
		if
		:: piece == FIRST -> has_begun = true
		:: else -> break
		fi
	   }
	:: has_ended[l] && empty(from_backend[l]) ->
		close_leg(l);
		if
		:: has_begun -> close_client()
		/* It says so itself. */
		:: !has_begun -> answer(r, WHOLE)
		fi;
		break
	/* Nobody waits for it any more. */
	:: has_aborted -> close_leg(l); close_client(); break
	od;
	atomic {
		has_begun = false; request = 0; piece = 0;
		is_exchanging = false;
		outstanding[l] = 0;
		/* What the leg has said was of this response. */
		if
		:: !has_ended[l] && empty(from_backend[l]) -> speaks[l] = false
		/* The event may still come. */
		:: true
		fi
	}
	if
	:: !is_over -> offer()
	:: else
	fi
}

/* takeOver */
inline take_over(l)
{
	compare_and_swap(seen, OF_AGENT, is_done);
	atomic {
		is_done = false;
		is_offered = false;
		is_waiting = false;
		detach(l);
		current = outstanding[l];
		assert(hand[current] == KERNEL);
		is_exchanging = true
	}
	relay(l, current);
	current = 0
}

/* legSpeaks */
inline leg_speaks(l)
{
	speaks[l] = false;
	seen = word;
	if
	:: is_offered && seen & AWAITING && asked_leg == l && seen & LEFT -> take_over(l)
	:: is_offered && seen & AWAITING && asked_leg == l && !(seen & LEFT) -> suspect = l
	:: else ->
		take_back(is_taken);
		if
		:: is_taken -> close_leg(l)
#ifdef FAULT_LEG_CLOSED
		:: else -> close_leg(l)
#else
		/* A request may have gone to it meanwhile. */
		:: !is_taken && asked_leg == l -> suspect = l
		:: !is_taken && asked_leg != l -> close_leg(l)
#endif
		fi;
		is_taken = false
	fi;
	seen = 0
}

#define IS_QUIET(leg) (!has_ended[leg] && empty(from_backend[leg]))
#define HAS_SAID(leg) (has_ended[leg] || nempty(from_backend[leg]))

/* judgeLeg */
inline judge_leg()
{
	leg = suspect;
	seen = word;
	suspect = NO_LEG;
	if
#ifndef FAULT_SUSPICION
	/* It has said nothing: the event was of what had been read before. */
	:: is_attached[leg] && IS_QUIET(leg) -> skip
	:: is_attached[leg] && HAS_SAID(leg) && seen & AWAITING && asked_leg == leg ->
#else
	:: is_attached[leg] && seen & AWAITING && asked_leg == leg ->
#endif
		if
		:: seen & LEFT -> take_over(leg)
		:: !(seen & LEFT) && seen & ANSWERING -> close_client()
		:: !(seen & (LEFT | ANSWERING)) ->
			compare_and_swap(seen, OF_AGENT, is_done);
			if
			:: is_done -> is_done = false; seen = OF_AGENT; take_over(leg)
			:: else -> suspect = leg
			fi
		fi
#ifndef FAULT_SUSPICION
	:: !is_attached[leg] || (HAS_SAID(leg) && (!(seen & AWAITING) || asked_leg != leg)) ->
#else
	:: !is_attached[leg] || !(seen & AWAITING) || asked_leg != leg ->
#endif
		take_back(is_taken);
		if
		:: is_attached[leg] && !is_taken && asked_leg == leg -> suspect = leg
		:: is_attached[leg] && (is_taken || asked_leg != leg) ->
			if
			:: has_ended[leg] || nempty(from_backend[leg]) -> close_leg(leg)
			:: !has_ended[leg] && empty(from_backend[leg])
			fi
		:: !is_attached[leg]
		fi;
		is_taken = false
	fi;
	seen = 0; leg = NO_LEG
}

/* What the client has sent: a request is answered once it is complete. */
inline read_request()
{
#ifndef FAULT_HASTY_READ
	take_back(is_taken);
#else
	is_taken = true;
#endif
	if
	:: !is_taken -> /* awaiting; but nobody is there to whom a response could go */
		if
		:: has_aborted -> close_client()
		:: else
		fi
	:: is_taken ->
		if
		:: atomic {
			to_agent?current, piece ->
			assert(!(word & AWAITING));
			assert(hand[current] == (piece == LAST -> AGENT : NOBODY));
			hand[current] = AGENT;
			taken++;
			is_exchanging = (piece != FIRST);
			piece = 0
		   }
			if
			:: !is_exchanging -> skip
			/* On a leg, */
			:: is_exchanging && is_attached[0] -> atomic { detach(0); to_backend[0]!current }; relay(0, current)
#if LEGS > 1
			:: is_exchanging && is_attached[1] -> atomic { detach(1); to_backend[1]!current }; relay(1, current)
#endif
			/* or elsewhere. */
			:: is_exchanging -> atomic { answer(current, WHOLE); is_exchanging = false }; offer()
			fi;
			current = 0
		:: empty(to_agent) && (has_left || has_aborted) -> close_client()
		:: empty(to_agent) && !has_left && !has_aborted -> skip
		fi
	fi;
	is_taken = false
}

active proctype Agent()
{
	byte seen = 0, leg = NO_LEG, number = 0, busy = NO_LEG, suspect = NO_LEG, current = 0, request = 0, piece = 0, taken = 0;
	bool is_offered, is_waiting, is_taken, is_done, has_begun;

	run Backend(0);
#if LEGS > 1
	run Backend(1);
#endif
	/* It has answered a request before. */
	offer();
end_waiting:
	do
	/* It looks at a connection that waits again and again: until then nothing changes. */
	:: !is_over && (nempty(to_agent) || has_left || has_aborted) && !(is_waiting && word & AWAITING && !has_aborted) ->
		read_request()
	:: !is_over && speaks[0] && is_attached[0] -> leg_speaks(0)
#if LEGS > 1
	:: !is_over && speaks[1] && is_attached[1] -> leg_speaks(1)
	:: !is_over && speaks[1] && !is_attached[1] && !is_closed[1] -> close_leg(1)
#endif
	/* Idle connections that have something to say are closed. */
	:: !is_over && speaks[0] && !is_attached[0] && !is_closed[0] -> close_leg(0)
	:: suspect != NO_LEG && !running -> judge_leg()
#ifndef CALM
	/* The configuration changes; endpoints are gone with it. */
	:: !has_changed && !is_over -> has_changed = true; is_stale = true;
		if
		:: true -> take_back(is_taken);
			if
			:: is_taken && is_attached[0] -> close_leg(0)
			:: else
			fi;
			is_taken = false
		:: true
		fi
#endif
	:: is_over -> break
	/* The client has said nothing for long. */
	:: is_offered && empty(to_agent) && suspect == NO_LEG && !(word & AWAITING) ->
		take_back(is_taken);
		if
		:: is_taken -> assert(!is_exchanging); close_client()
		:: else
		fi;
		is_taken = false
	od
}
