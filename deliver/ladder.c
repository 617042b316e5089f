/* ladder.c - the greeting ladder and what follows it, as a table
 *
 * Pure. The first row that fits counts, so each rung goes from the special to the general and
 * ends with a row that takes everything. Each row names the row of LADDER.md 3 that it
 * carries out; where one of those has several cases there are several rows. */
#include "deliver/ladder.h"

#include <stdio.h>
#include <string.h>

#include "common/verbs.h"

#define S(event) (1U << SAW_##event)
#define REPLY S(REPLY)
#define GONE (S(CLOSE) | S(RESET))
#define CUT (GONE | S(PART))
#define HANG (S(SILENCE) | S(UNFINISHED))
#define NONSENSE (S(GARBLED) | S(ENDLESS))
#define ANY 0xffffffffU
/* HELO, said first because of the card, is put off or left unanswered: on the second successive
 * attempt EHLO is tried, as HELO is the other way round (E27, E11) */
#define CARD_FAILS(at) \
  ROW("H8", at, REPLY, "4..", DO_FRESH_EHLO, .when = IF_CARD | IF_HELO_FAILED, \
      .note = FACT_HELO_FAILED), \
  ROW("H8", at, REPLY, "4..", DO_NEXT, .when = IF_CARD, .note = FACT_HELO_FAILED), \
  ROW("H11", at, HANG, NULL, DO_FRESH_EHLO, .when = IF_CARD | IF_HELO_FAILED, \
      .note = FACT_HELO_FAILED), \
  ROW("H11", at, HANG, NULL, DO_NEXT, .when = IF_CARD, .note = FACT_HELO_FAILED)
#define ROW(row, at, seen, reply_code, next, ...) \
  {.number = row, .rung = RUNG_##at, .saw = seen, .code = reply_code, .then = next, __VA_ARGS__}

static const struct ladder_row rows[] = {
  /* ---- connection */
  ROW("A8", CONNECT, S(LOCAL), NULL, DO_STOP),
  ROW("A1", CONNECT, S(REFUSED), NULL, DO_NEXT, .note = FACT_DOWN),
  ROW("A2", CONNECT, S(NO_ANSWER), NULL, DO_NEXT, .note = FACT_CONNECT_HANG),
  ROW("A3", CONNECT, S(UNREACHABLE), NULL, DO_NEXT, .note = FACT_UNREACHABLE),
  ROW("A4", CONNECT, S(RESET), NULL, DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("A0", CONNECT, ANY, NULL, DO_BANNER),

  /* ---- banner */
  ROW("B22", BANNER, REPLY, "2..", DO_DROP_WORSE, .when = IF_OWN_NAME, .final = FINAL_LOOP,
   .status = "5.4.6"),
  ROW("B1", BANNER, REPLY, "220", DO_GREET),
  ROW("B9", BANNER, REPLY, "2..", DO_GREET),
  ROW("B3", BANNER, REPLY, "421", DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("B4", BANNER, REPLY, "4..", DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("B7", BANNER, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("B5", BANNER, REPLY, "554", DO_NEXT, .final = FINAL_GREET, .note = FACT_HOST5),
  ROW("B6", BANNER, REPLY, "5..", DO_NEXT, .final = FINAL_GREET, .note = FACT_HOST5),
  ROW("B8", BANNER, REPLY, NULL, DO_NEXT, .note = FACT_PROTOCOL_HIT),
  ROW("A10", BANNER, S(BINARY), NULL, DO_NEXT, .note = FACT_NOT_SMTP),
  ROW("B13", BANNER, S(FOREIGN) | S(ECHO), NULL, DO_NEXT, .note = FACT_NOT_SMTP),
  ROW("A4", BANNER, S(RESET), NULL, DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("A5", BANNER, S(CLOSE) | S(PART), NULL, DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("A6", BANNER, S(SILENCE), NULL, DO_NEXT, .note = FACT_SLOW_BANNER),
  ROW("B15", BANNER, S(UNFINISHED), NULL, DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("B19", BANNER, ANY, NULL, DO_NEXT, .note = FACT_PROTOCOL_HIT),

  /* ---- EHLO */
  ROW("E31", EHLO, REPLY, "250", DO_DROP_WORSE, .when = IF_OWN_NAME, .final = FINAL_LOOP,
   .status = "5.4.6"),
  ROW("T9", EHLO, REPLY, "250", DO_STARTTLS, .when = IF_TLS_OFFERED),
  ROW("E15", EHLO, REPLY, "250", DO_READY),
  ROW("E25", EHLO, REPLY, "2..", DO_PLAIN),
  ROW("E8", EHLO, REPLY, "421", DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("E27", EHLO, REPLY, "4..", DO_FRESH_EHLO, .when = IF_4YZ | IF_CARD_NAME,
   .note = FACT_EHLO_4YZ),
  ROW("E27", EHLO, REPLY, "4..", DO_HELO, .when = IF_4YZ, .unless = IF_NEEDED | IF_OVER,
   .note = FACT_EHLO_4YZ),
  ROW("E27", EHLO, REPLY, "4..", DO_NEXT, .note = FACT_EHLO_4YZ),
  ROW("E28", EHLO, REPLY, "530", DO_NEXT, .final = FINAL_GREET, .status = "5.7.0"),
  ROW("E28", EHLO, REPLY, "535", DO_NEXT, .final = FINAL_GREET, .status = "5.7.8"),
  ROW("E28", EHLO, REPLY, "538", DO_NEXT, .final = FINAL_GREET, .status = "5.7.11"),
  ROW("B7", EHLO, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("E3", EHLO, REPLY, "50[134]", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("E6", EHLO, REPLY, "55.", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("E33", EHLO, REPLY, "501", DO_FRESH_NAME, .when = IF_OVER, .unless = IF_LITERAL,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("E33", EHLO, REPLY, "504", DO_FRESH_NAME, .when = IF_OVER, .unless = IF_LITERAL,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("T17", EHLO, REPLY, "5..", DO_NEXT, .when = IF_NEEDED | IF_TLS_HISTORY,
   .note = FACT_TLS_MISSING),
  ROW("T17", EHLO, REPLY, "5..", DO_NEXT, .when = IF_NEEDED, .final = FINAL_GREET),
  ROW("E7", EHLO, REPLY, "5..", DO_FRESH_HELO, .when = IF_OVER, .learn = FACT_HELO_ONLY),
  ROW("E1", EHLO, REPLY, "500", DO_HELO, .final = FINAL_GREET, .learn = FACT_HELO_ONLY),
  ROW("E2", EHLO, REPLY, "502", DO_HELO, .final = FINAL_GREET, .learn = FACT_HELO_ONLY),
  ROW("E3", EHLO, REPLY, "501", DO_HELO, .final = FINAL_GREET, .learn = FACT_HELO_ONLY),
  ROW("E4", EHLO, REPLY, "503", DO_HELO, .final = FINAL_GREET, .learn = FACT_HELO_ONLY),
  ROW("E5", EHLO, REPLY, "504", DO_HELO, .final = FINAL_GREET, .learn = FACT_HELO_ONLY),
  ROW("E6", EHLO, REPLY, "5..", DO_HELO, .final = FINAL_GREET, .learn = FACT_HELO_ONLY),
  ROW("E29", EHLO, S(EARLY), NULL, DO_NEXT, .note = FACT_PROTOCOL_HIT),
  ROW("E23", EHLO, S(ECHO), NULL, DO_NEXT, .note = FACT_NOT_SMTP,
   .status = "4.4.6"),
  ROW("E23", EHLO, S(FOREIGN) | S(BINARY), NULL, DO_NEXT, .note = FACT_NOT_SMTP),
  ROW("E11", EHLO, HANG, NULL, DO_FRESH_EHLO, .when = IF_HUNG | IF_CARD_NAME,
   .note = FACT_EHLO_HANG),
  ROW("E11", EHLO, S(SILENCE), NULL, DO_FRESH_HELO, .when = IF_HUNG, .unless = IF_NEEDED,
   .learn = FACT_HELO_ONLY, .note = FACT_EHLO_HANG),
  ROW("E11", EHLO, S(SILENCE), NULL, DO_NEXT, .note = FACT_EHLO_HANG),
  ROW("E13", EHLO, S(UNFINISHED), NULL, DO_FRESH_HELO, .when = IF_HUNG, .unless = IF_NEEDED,
   .learn = FACT_HELO_ONLY, .note = FACT_EHLO_HANG),
  ROW("E13", EHLO, S(UNFINISHED), NULL, DO_NEXT, .note = FACT_EHLO_HANG),
  ROW("T17", EHLO, CUT | NONSENSE | REPLY, NULL, DO_NEXT, .when = IF_NEEDED | IF_TLS_HISTORY,
   .note = FACT_TLS_MISSING),
  ROW("T17", EHLO, CUT | NONSENSE | REPLY, NULL, DO_NEXT, .when = IF_NEEDED),
  ROW("E9", EHLO, S(CLOSE), NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY, .note = FACT_EHLO_DROP),
  ROW("E10", EHLO, S(RESET), NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY, .note = FACT_EHLO_DROP),
  ROW("E12", EHLO, S(PART), NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY, .note = FACT_EHLO_DROP),
  ROW("E14", EHLO, S(ENDLESS), NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY),
  ROW("E21", EHLO, S(GARBLED), NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY,
   .note = FACT_PROTOCOL_HIT),
  ROW("E26", EHLO, REPLY, NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY,
   .note = FACT_PROTOCOL_HIT),
  ROW("A8", EHLO, ANY, NULL, DO_STOP),

  /* ---- HELO on the same connection; within TLS nothing leads out of it */
  ROW("H1", HELO, REPLY, "2..", DO_PLAIN),
  ROW("T12", HELO, CUT | NONSENSE, NULL, DO_NEXT, .when = IF_TLS),
  ROW("H9", HELO, REPLY, "421", DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("H8", HELO, REPLY, "4..", DO_NEXT, .note = FACT_SOFT_HIT),
  ROW("B7", HELO, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("H6", HELO, REPLY, "5..", DO_FRESH_NAME, .when = IF_NAME | IF_OVER, .unless = IF_LITERAL,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("H6", HELO, REPLY, "5..", DO_NAME, .when = IF_NAME, .unless = IF_LITERAL,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("T12", HELO, REPLY, "503", DO_RSET, .when = IF_TLS, .unless = IF_OVER, .final = FINAL_GREET),
  ROW("H4", HELO, REPLY, "503", DO_RSET, .unless = IF_OVER, .final = FINAL_GREET,
   .learn = FACT_NEEDS_RSET),
  ROW("H4", HELO, REPLY, "5..", DO_RSET, .when = IF_EHLO_50X, .unless = IF_OVER,
   .final = FINAL_GREET, .learn = FACT_NEEDS_RSET),
  ROW("E3", HELO, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("H7", HELO, REPLY, "5..", DO_NEXT, .final = FINAL_GREET, .note = FACT_HOST5),
  ROW("E33", HELO, CUT, NULL, DO_FRESH_NAME, .when = IF_EHLO_501, .unless = IF_LITERAL,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("E7", HELO, CUT, NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY, .note = FACT_EHLO_DROP),
  ROW("H10", HELO, NONSENSE, NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY),
  ROW("H11", HELO, ANY, NULL, DO_NEXT, .note = FACT_SOFT_HIT),

  /* ---- RSET, then HELO; a card that led here is no reason to give up */
  ROW("H1", RSET, REPLY, "2..", DO_PLAIN),
  ROW("T12", RSET, CUT | NONSENSE, NULL, DO_NEXT, .when = IF_TLS),
  ROW("H10", RSET, CUT | NONSENSE, NULL, DO_FRESH_EHLO, .when = IF_CARD),
  ROW("H4", RSET, CUT, NULL, DO_FRESH_HELO, .learn = FACT_HELO_ONLY),
  ROW("B7", RSET, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("H5", RSET, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD),
  ROW("E3", RSET, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("H7", RSET, REPLY, "5..", DO_NEXT, .final = FINAL_GREET, .note = FACT_HOST5),
  CARD_FAILS(RSET),
  ROW("H11", RSET, ANY, NULL, DO_NEXT),

  /* ---- HELO on a new connection, after EHLO failed on another */
  ROW("H1", FRESH, REPLY, "2..", DO_PLAIN),
  ROW("H6", FRESH, REPLY, "5..", DO_NAME, .when = IF_NAME, .unless = IF_LITERAL | IF_OVER,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("B7", FRESH, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("E3", FRESH, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("E3", FRESH, CUT | NONSENSE, NULL, DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("H7", FRESH, REPLY, "5..", DO_NEXT, .final = FINAL_GREET),
  ROW("H10", FRESH, ANY, NULL, DO_NEXT),

  /* ---- HELO first, because the card or the administrator says so */
  ROW("H1", FIRST, REPLY, "2..", DO_PLAIN),
  ROW("H5", FIRST, REPLY, "500", DO_FRESH_EHLO, .when = IF_CARD, .erase = FACT_HELO_ONLY),
  ROW("H5", FIRST, REPLY, "502", DO_FRESH_EHLO, .when = IF_CARD, .erase = FACT_HELO_ONLY),
  ROW("H5", FIRST, REPLY, "503", DO_FRESH_EHLO, .when = IF_CARD, .erase = FACT_HELO_ONLY),
  ROW("H6", FIRST, REPLY, "5..", DO_NAME, .when = IF_NAME, .unless = IF_LITERAL | IF_OVER,
   .final = FINAL_GREET, .learn = FACT_LITERAL_NAME, .note = FACT_NAME_REFUSED),
  ROW("B7", FIRST, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("H5", FIRST, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD),
  ROW("E3", FIRST, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("H10", FIRST, CUT | NONSENSE, NULL, DO_FRESH_EHLO, .when = IF_CARD),
  ROW("H7", FIRST, REPLY, "5..", DO_NEXT, .final = FINAL_GREET, .note = FACT_HOST5),
  CARD_FAILS(FIRST),
  ROW("H10", FIRST, ANY, NULL, DO_NEXT),

  /* ---- once more with our address */
  ROW("T9", NAME, REPLY, "250", DO_STARTTLS, .when = IF_TLS_OFFERED),
  ROW("N", NAME, REPLY, "250", DO_READY),
  ROW("N", NAME, REPLY, "2..", DO_PLAIN),
  CARD_FAILS(NAME),
  ROW("E8", NAME, REPLY, "4..", DO_NEXT),
  ROW("B7", NAME, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("H5", NAME, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD),
  ROW("H10", NAME, CUT | NONSENSE, NULL, DO_FRESH_EHLO, .when = IF_CARD),
  ROW("N", NAME, REPLY, "5..", DO_NEXT, .final = FINAL_GREET),
  ROW("N", NAME, ANY, NULL, DO_NEXT),

  /* ---- STARTTLS */
  ROW("T9", STARTTLS, REPLY, "220", DO_HANDSHAKE),
  ROW("E8", STARTTLS, REPLY, "421", DO_NEXT, .when = IF_UNASKED, .note = FACT_SOFT_HIT),
  ROW("T3", STARTTLS, REPLY, "4..", DO_NEXT, .when = IF_NO_CLEAR, .note = FACT_STARTTLS_4YZ,
   .status = "4.7.4"),
  ROW("T3", STARTTLS, REPLY, "421", DO_CLEAR, .note = FACT_STARTTLS_4YZ),
  ROW("T3", STARTTLS, REPLY, "4..", DO_CLEAR, .when = IF_OVER, .note = FACT_STARTTLS_4YZ),
  ROW("T3", STARTTLS, REPLY, "4..", DO_READY, .note = FACT_STARTTLS_4YZ),
  ROW("T4", STARTTLS, REPLY, "5..", DO_NEXT, .when = IF_TLS_HISTORY, .note = FACT_TLS_MISSING,
   .status = "4.7.4"),
  ROW("T4", STARTTLS, REPLY, "5..", DO_NEXT, .when = IF_NO_CLEAR, .status = "4.7.4"),
  ROW("T4", STARTTLS, REPLY, "5..", DO_CLEAR, .when = IF_OVER, .note = FACT_TLS_BROKEN),
  ROW("T4", STARTTLS, REPLY, "5..", DO_READY, .learn = FACT_NO_STARTTLS),
  ROW("T8", STARTTLS, S(EARLY), NULL, DO_NEXT, .note = FACT_INJECTED, .status = "4.7.0"),
  ROW("A8", STARTTLS, S(LOCAL), NULL, DO_STOP),
  ROW("T5", STARTTLS, ANY, NULL, DO_NEXT, .when = IF_NO_CLEAR, .note = FACT_TLS_BROKEN,
   .status = "4.7.4"),
  ROW("T5", STARTTLS, ANY, NULL, DO_CLEAR, .note = FACT_TLS_BROKEN, .status = "4.7.4"),

  /* ---- the handshake */
  ROW("T10", TLS, REPLY, NULL, DO_NEXT, .when = IF_CERT_NEEDED | IF_CERT_BAD, .status = "4.7.5"),
  ROW("T9", TLS, REPLY, NULL, DO_TLS_EHLO),
  ROW("T8", TLS, S(EARLY), NULL, DO_NEXT, .note = FACT_INJECTED, .status = "4.7.0"),
  ROW("A8", TLS, S(LOCAL), NULL, DO_STOP),
  ROW("T5", TLS, GONE, NULL, DO_NEXT, .when = IF_NO_CLEAR, .note = FACT_TLS_BROKEN,
   .status = "4.7.5"),
  ROW("T5", TLS, GONE, NULL, DO_CLEAR, .note = FACT_TLS_BROKEN, .status = "4.7.5"),
  ROW("T7", TLS, S(SILENCE), NULL, DO_NEXT, .when = IF_NO_CLEAR, .note = FACT_TLS_BROKEN,
   .status = "4.7.5"),
  ROW("T7", TLS, S(SILENCE), NULL, DO_CLEAR, .note = FACT_TLS_BROKEN, .status = "4.7.5"),
  ROW("T6", TLS, ANY, NULL, DO_NEXT, .when = IF_NO_CLEAR, .note = FACT_TLS_BROKEN,
   .status = "4.7.5"),
  ROW("T6", TLS, ANY, NULL, DO_CLEAR, .note = FACT_TLS_BROKEN, .status = "4.7.5"),

  /* ---- EHLO within TLS */
  ROW("E31", TLS_EHLO, REPLY, "250", DO_DROP_WORSE, .when = IF_OWN_NAME, .final = FINAL_LOOP,
   .status = "5.4.6"),
  ROW("T13", TLS_EHLO, REPLY, "250", DO_READY),
  ROW("E25", TLS_EHLO, REPLY, "2..", DO_PLAIN),
  ROW("E8", TLS_EHLO, REPLY, "421", DO_NEXT),
  ROW("E27", TLS_EHLO, REPLY, "4..", DO_NEXT, .note = FACT_EHLO_4YZ),
  ROW("E28", TLS_EHLO, REPLY, "53[058]", DO_NEXT, .final = FINAL_GREET),
  ROW("B7", TLS_EHLO, REPLY, "521", DO_NEXT, .final = FINAL_NO_MAIL, .note = FACT_NO_MAIL),
  ROW("E3", TLS_EHLO, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("T12", TLS_EHLO, REPLY, "5..", DO_HELO, .unless = IF_OVER, .final = FINAL_GREET),
  ROW("E29", TLS_EHLO, S(EARLY), NULL, DO_NEXT),
  ROW("E11", TLS_EHLO, HANG, NULL, DO_NEXT, .note = FACT_EHLO_HANG),
  ROW("A8", TLS_EHLO, S(LOCAL), NULL, DO_STOP),
  ROW("T11", TLS_EHLO, ANY, NULL, DO_NEXT, .when = IF_NO_CLEAR, .note = FACT_TLS_BROKEN,
   .status = "4.7.5"),
  ROW("T11", TLS_EHLO, ANY, NULL, DO_CLEAR, .note = FACT_TLS_BROKEN, .status = "4.7.5"),

  /* ---- AUTH */
  ROW("X24", AUTH, REPLY, "235", DO_READY),
  ROW("X24", AUTH, REPLY, "5[03]4", DO_MECHANISM, .when = IF_MECHANISMS),
  ROW("X24", AUTH, REPLY, "535", DO_NEXT, .final = FINAL_GREET, .note = FACT_AUTH_FAIL),
  ROW("X24", AUTH, REPLY, "5..", DO_NEXT, .final = FINAL_GREET),
  ROW("A8", AUTH, S(LOCAL), NULL, DO_STOP),
  ROW("X24", AUTH, ANY, NULL, DO_NEXT),

  /* ---- before MAIL: what the message needs and the peer lacks */
  ROW("T1", READY, ANY, NULL, DO_NEXT, .when = IF_REQUIRETLS, .unless = IF_TLS,
   .final = FINAL_REQUIRETLS),
  ROW("T1", READY, ANY, NULL, DO_NEXT, .when = IF_TLS_NEEDED, .unless = IF_TLS),
  ROW("T2", READY, ANY, NULL, DO_NEXT, .when = IF_TLS_HISTORY, .unless = IF_TLS,
   .note = FACT_TLS_MISSING),
  ROW("X8", READY, ANY, NULL, DO_NEXT, .when = IF_TOO_BIG, .final = FINAL_SIZE),
  ROW("X19", READY, ANY, NULL, DO_NEXT, .when = IF_NO_UTF8, .final = FINAL_UTF8),
  ROW("X14", READY, ANY, NULL, DO_LATER, .when = IF_LATER),
  ROW("X14", READY, ANY, NULL, DO_NEXT, .when = IF_BARRED, .final = FINAL_8BIT),
  ROW("R6", READY, ANY, NULL, DO_GO_ON),

  /* ---- MAIL */
  ROW("D1", MAIL, REPLY, "2..", DO_GO_ON),
  ROW("D22", MAIL, REPLY, "421", DO_FRESH_REDO, .when = IF_REUSED),
  ROW("D22", MAIL, CUT, NULL, DO_FRESH_REDO, .when = IF_REUSED),
  ROW("X3", MAIL, REPLY, "5..", DO_FRESH_REDO, .when = IF_BATCH | IF_SYNC,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("X3", MAIL, REPLY, "421", DO_FRESH_REDO, .when = IF_BATCH,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("H12", MAIL, REPLY, "503", DO_FRESH_EHLO, .when = IF_CARD, .learn = FACT_EHLO_REQUIRED,
   .erase = FACT_HELO_ONLY),
  ROW("H12", MAIL, REPLY, "530", DO_FRESH_EHLO, .when = IF_CARD, .learn = FACT_EHLO_REQUIRED,
   .erase = FACT_HELO_ONLY),
  ROW("H12", MAIL, REPLY, "503", DO_NEXT, .when = IF_HELO),
  ROW("H12", MAIL, REPLY, "530", DO_NEXT, .when = IF_HELO),
  ROW("E28", MAIL, REPLY, "530", DO_FRESH_TLS, .when = IF_TLS_CARD),
  ROW("E28", MAIL, REPLY, "53[08]", DO_NEXT, .unless = IF_TLS, .final = FINAL_GREET),
  ROW("X3", MAIL, REPLY, "503", DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X21", MAIL, REPLY, "555", DO_NEXT, .when = IF_UTF8 | IF_MUST_UTF8, .final = FINAL_UTF8,
   .note = FACT_NO_SMTPUTF8, .status = "5.6.7"),
  ROW("X21", MAIL, REPLY, "501", DO_NEXT, .when = IF_UTF8 | IF_MUST_UTF8, .final = FINAL_UTF8,
   .note = FACT_NO_SMTPUTF8, .status = "5.6.7"),
  ROW("X21", MAIL, REPLY, "555", DO_REDO, .when = IF_UTF8, .learn = FACT_NO_SMTPUTF8,
   .without = VERB_SMTPUTF8),
  ROW("X21", MAIL, REPLY, "501", DO_REDO, .when = IF_UTF8, .learn = FACT_NO_SMTPUTF8,
   .without = VERB_SMTPUTF8),
  ROW("X15", MAIL, REPLY, "555", DO_REDO, .when = IF_BODY, .learn = FACT_NO_8BITMIME,
   .without = VERB_8BITMIME),
  ROW("X15", MAIL, REPLY, "50[014]", DO_REDO, .when = IF_BODY, .learn = FACT_NO_8BITMIME,
   .without = VERB_8BITMIME),
  ROW("X15", MAIL, REPLY, "554", DO_REDO, .when = IF_BODY, .learn = FACT_NO_8BITMIME,
   .without = VERB_8BITMIME),
  ROW("X22", MAIL, REPLY, "555", DO_REDO, .when = IF_DSN, .learn = FACT_NO_DSN,
   .without = VERB_DSN),
  ROW("X22", MAIL, REPLY, "50[14]", DO_REDO, .when = IF_DSN, .learn = FACT_NO_DSN,
   .without = VERB_DSN),
  ROW("X13", MAIL, REPLY, "555", DO_REDO, .when = IF_SIZE, .learn = FACT_NO_SIZE,
   .without = VERB_SIZE),
  ROW("X13", MAIL, REPLY, "50[14]", DO_REDO, .when = IF_SIZE, .learn = FACT_NO_SIZE,
   .without = VERB_SIZE),
  ROW("X12", MAIL, REPLY, "552", DO_NEXT, .when = IF_SIZE, .final = FINAL_SIZE, .status = "5.3.4"),
  ROW("X11", MAIL, REPLY, "452", DO_NEXT, .when = IF_SIZE),
  ROW("D1", MAIL, REPLY, "4..", DO_NEXT),
  /* no card may cause a bounce: a refusal counts where nothing was done because of one */
  ROW("H5", MAIL, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD),
  ROW("E3", MAIL, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME),
  ROW("E28", MAIL, REPLY, "5..", DO_FRESH_TLS, .when = IF_TLS_CARD),
  ROW("D2", MAIL, REPLY, "5..", DO_SENDER),
  ROW("T4", MAIL, CUT, NULL, DO_CLEAR, .when = IF_TLS_REFUSED, .note = FACT_TLS_BROKEN),
  ROW("X16", MAIL, CUT, NULL, DO_FRESH_REDO, .when = IF_BODY, .learn = FACT_NO_8BITMIME,
   .without = VERB_8BITMIME),
  ROW("X2", MAIL, CUT, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X1", MAIL, HANG, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X5", MAIL, NONSENSE, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("D3", MAIL, ANY, NULL, DO_NEXT),

  /* ---- RCPT */
  ROW("D4", RCPT, REPLY, "2..", DO_GO_ON),
  ROW("X3", RCPT, REPLY, "5..", DO_FRESH_REDO, .when = IF_BATCH | IF_SYNC,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("X3", RCPT, REPLY, "503", DO_FRESH_REDO, .when = IF_BATCH, .unless = IF_ACCEPTED,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("X3", RCPT, REPLY, "421", DO_FRESH_REDO, .when = IF_BATCH, .unless = IF_ACCEPTED,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("D7", RCPT, REPLY, "421", DO_NEXT),
  ROW("X26", RCPT, REPLY, "452", DO_AGAIN, .when = IF_ACCEPTED | IF_TOO_MANY,
   .note = FACT_RCPT_MAX),
  ROW("X26", RCPT, REPLY, "552", DO_AGAIN, .when = IF_ACCEPTED | IF_TOO_MANY,
   .note = FACT_RCPT_MAX),
  ROW("X22", RCPT, REPLY, "555", DO_REDO, .when = IF_DSN, .learn = FACT_NO_DSN,
   .without = VERB_DSN),
  ROW("X22", RCPT, REPLY, "50[14]", DO_REDO, .when = IF_DSN, .learn = FACT_NO_DSN,
   .without = VERB_DSN),
  ROW("H5", RCPT, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD, .unless = IF_ACCEPTED),
  ROW("E3", RCPT, REPLY, "5..", DO_FRESH_EHLO, .when = IF_CARD_NAME, .unless = IF_ACCEPTED),
  ROW("E28", RCPT, REPLY, "5..", DO_FRESH_TLS, .when = IF_TLS_CARD, .unless = IF_ACCEPTED),
  ROW("D6", RCPT, REPLY, "556", DO_RECIPIENT, .status = "5.1.10"),
  ROW("D5", RCPT, REPLY, "5..", DO_RECIPIENT),
  ROW("D4", RCPT, REPLY, "4..", DO_RECIPIENT),
  ROW("X2", RCPT, CUT, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X1", RCPT, HANG, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X5", RCPT, NONSENSE, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("D7", RCPT, ANY, NULL, DO_NEXT),

  /* ---- DATA */
  ROW("D8", DATA, REPLY, "354", DO_GO_ON),
  ROW("X3", DATA, REPLY, "5..", DO_FRESH_REDO, .when = IF_BATCH | IF_SYNC,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("X3", DATA, REPLY, "421", DO_FRESH_REDO, .when = IF_BATCH,
   .learn = FACT_NO_PIPELINING, .without = VERB_PIPELINING),
  ROW("D8", DATA, REPLY, "4..", DO_NEXT),
  ROW("X3", DATA, REPLY, "503", DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("D8", DATA, REPLY, "5..", DO_SENDER),
  ROW("X2", DATA, CUT, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X1", DATA, HANG, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("X5", DATA, NONSENSE, NULL, DO_FRESH_REDO, .when = IF_BATCH, .learn = FACT_NO_PIPELINING,
   .without = VERB_PIPELINING),
  ROW("D9", DATA, REPLY, NULL, DO_NEXT, .note = FACT_PROTOCOL_HIT),
  ROW("D9", DATA, ANY, NULL, DO_NEXT),

  /* ---- the message: the write failed, and then this was in the socket */
  ROW("D23", BODY, S(LOCAL), NULL, DO_STOP),
  ROW("D10", BODY, REPLY, "5..", DO_SENDER),
  ROW("D10", BODY, REPLY, "4..", DO_NEXT),
  ROW("D11", BODY, S(SILENCE), NULL, DO_NEXT, .note = FACT_SLOW),
  ROW("D10", BODY, ANY, NULL, DO_NEXT),

  /* ---- its end */
  ROW("D18", DOT, REPLY, "2..", DO_SENDER),
  ROW("D15", DOT, REPLY, "4..", DO_NEXT),
  ROW("D16", DOT, REPLY, "5..", DO_SENDER),
  ROW("D19", DOT, REPLY, NULL, DO_LOST, .note = FACT_DOT_LOST),
  ROW("D14", DOT, CUT, NULL, DO_LOST, .note = FACT_DOT_LOST),
  ROW("D17", DOT, NONSENSE, NULL, DO_LOST, .note = FACT_DOT_LOST),
  ROW("D12", DOT, ANY, NULL, DO_LOST, .when = IF_PIX, .note = FACT_PIX),
  ROW("D13", DOT, ANY, NULL, DO_LOST, .note = FACT_DOT_HANG),
};

/* "4..", "50[014]": digits, any digit, one of several */
static int fits(const char *pattern, unsigned int code)
{
  unsigned int digit[3] = {code / 100, code / 10 % 10, code % 10};

  for (size_t i = 0; i < 3; i++) {
    char c = (char)('0' + digit[i]);
    if (*pattern == '[') {
      const char *end = strchr(pattern, ']'), *hit = strchr(pattern, c);
      if (!hit || hit > end)
        return 0;
      pattern = end;
    } else if (*pattern != '.' && *pattern != c)
      return 0;
    pattern++;
  }
  return 1;
}

const struct ladder_row *ladder_find(enum ladder_rung rung, enum saw saw, unsigned int code,
                                     uint64_t facts)
{
  const struct ladder_row *r = rows;

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    r = &rows[i];
    if (r->rung == rung && (r->saw & (1U << saw)) && (!r->code || fits(r->code, code)) &&
        (r->when & ~facts) == 0 && (r->unless & facts) == 0)
      break;
  }
  return r;
}

const struct ladder_row *ladder_rows(size_t *n)
{
  *n = sizeof rows / sizeof *rows;
  return rows;
}

/* ---- words */

static const char *const rung_words[] = {
#define X(name, word, at) word,
  LADDER_RUNGS(X)
#undef X
};

static const char *const rung_places[] = {
#define X(name, word, at) at,
  LADDER_RUNGS(X)
#undef X
};

static const char *const saw_words[SAW_COUNT] = {
  [SAW_REPLY] = "answered",
  [SAW_CLOSE] = "connection closed",
  [SAW_RESET] = "connection reset",
  [SAW_PART] = "connection closed within the reply",
  [SAW_SILENCE] = "timed out",
  [SAW_UNFINISHED] = "timed out within the reply",
  [SAW_GARBLED] = "garbled reply",
  [SAW_FOREIGN] = "not SMTP",
  [SAW_BINARY] = "not SMTP but TLS",
  [SAW_ECHO] = "our own words came back",
  [SAW_ENDLESS] = "endless reply",
  [SAW_EARLY] = "a reply came unasked",
  [SAW_NO_TLS] = "failed",
  [SAW_REFUSED] = "refused",
  [SAW_NO_ANSWER] = "timed out",
  [SAW_UNREACHABLE] = "unreachable",
  [SAW_LOCAL] = "fault of this host",
};

const char *ladder_rung_word(enum ladder_rung rung)
{
  return rung_words[rung];
}

void ladder_event(char out[LADDER_EVENT], enum ladder_rung rung, enum saw saw)
{
  const char *place = rung_places[rung];

  /* what is closed is closed after what was said */
  if ((saw == SAW_CLOSE || saw == SAW_RESET) && strncmp(place, "at ", 3) == 0 &&
      rung != RUNG_BANNER)
    snprintf(out, LADDER_EVENT, "%s after %s", saw_words[saw], place + 3);
  else
    snprintf(out, LADDER_EVENT, "%s %s", saw_words[saw], place);
}
