/* test_ladder.c - the ladder's table: what follows what, and that nothing is missing */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/verbs.h"
#include "deliver/ladder.h"

static const struct {
  enum ladder_rung rung;
  enum saw saw;
  unsigned int code;
  uint64_t facts;
  const char *number;
  enum ladder_do then;
  enum ladder_final final;
} cases[] = {
  {RUNG_CONNECT, SAW_REPLY, 0, 0, "A0", DO_BANNER, FINAL_DEFER},
  {RUNG_CONNECT, SAW_REFUSED, 0, 0, "A1", DO_NEXT, FINAL_DEFER},
  {RUNG_CONNECT, SAW_NO_ANSWER, 0, 0, "A2", DO_NEXT, FINAL_DEFER},
  {RUNG_CONNECT, SAW_UNREACHABLE, 0, 0, "A3", DO_NEXT, FINAL_DEFER},
  {RUNG_CONNECT, SAW_RESET, 0, 0, "A4", DO_NEXT, FINAL_DEFER},
  {RUNG_CONNECT, SAW_LOCAL, 0, 0, "A8", DO_STOP, FINAL_DEFER},
  {RUNG_BANNER, SAW_RESET, 0, 0, "A4", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_CLOSE, 0, 0, "A5", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_SILENCE, 0, 0, "A6", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_REPLY, 220, 0, "B1", DO_GREET, FINAL_DEFER},
  {RUNG_BANNER, SAW_REPLY, 220, IF_OWN_NAME, "B22", DO_DROP_WORSE, FINAL_LOOP},
  {RUNG_BANNER, SAW_REPLY, 421, 0, "B3", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_REPLY, 450, 0, "B4", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_REPLY, 554, 0, "B5", DO_NEXT, FINAL_GREET},
  {RUNG_BANNER, SAW_REPLY, 550, 0, "B6", DO_NEXT, FINAL_GREET},
  {RUNG_BANNER, SAW_REPLY, 521, 0, "B7", DO_NEXT, FINAL_NO_MAIL},
  {RUNG_BANNER, SAW_REPLY, 354, 0, "B8", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_REPLY, 250, 0, "B9", DO_GREET, FINAL_DEFER},
  {RUNG_BANNER, SAW_FOREIGN, 0, 0, "B13", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_UNFINISHED, 0, 0, "B15", DO_NEXT, FINAL_DEFER},
  {RUNG_BANNER, SAW_ENDLESS, 0, 0, "B19", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 250, 0, "E15", DO_READY, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, IF_LATER, "X14", DO_LATER, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, IF_BARRED, "X14", DO_NEXT, FINAL_8BIT},
  {RUNG_EHLO, SAW_REPLY, 252, 0, "E25", DO_PLAIN, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 500, 0, "E1", DO_HELO, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 502, 0, "E2", DO_HELO, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 501, 0, "E3", DO_HELO, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 503, 0, "E4", DO_HELO, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 504, 0, "E5", DO_HELO, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 554, 0, "E6", DO_HELO, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 550, IF_OVER, "E7", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 550, IF_OVER | IF_NEEDED, "T17", DO_NEXT, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 421, 0, "E8", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 421, IF_OVER, "E8", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_CLOSE, 0, 0, "E9", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_CLOSE, 0, IF_NEEDED, "T17", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_RESET, 0, 0, "E10", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_SILENCE, 0, 0, "E11", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_SILENCE, 0, IF_HUNG, "E11", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_SILENCE, 0, IF_HUNG | IF_NEEDED, "E11", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_PART, 0, 0, "E12", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_UNFINISHED, 0, 0, "E13", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_ENDLESS, 0, 0, "E14", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_GARBLED, 0, 0, "E21", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_FOREIGN, 0, 0, "E23", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 354, 0, "E26", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 450, 0, "E27", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 450, IF_4YZ, "E27", DO_HELO, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 530, 0, "E28", DO_NEXT, FINAL_GREET},
  {RUNG_EHLO, SAW_EARLY, 250, 0, "E29", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 501, IF_OVER, "E33", DO_FRESH_NAME, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 501, IF_OVER | IF_LITERAL, "E7", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_HELO, SAW_REPLY, 250, 0, "H1", DO_PLAIN, FINAL_DEFER},
  {RUNG_HELO, SAW_REPLY, 503, 0, "H4", DO_RSET, FINAL_GREET},
  {RUNG_HELO, SAW_REPLY, 550, IF_EHLO_50X, "H4", DO_RSET, FINAL_GREET},
  {RUNG_HELO, SAW_REPLY, 501, IF_NAME, "H6", DO_NAME, FINAL_GREET},
  {RUNG_HELO, SAW_REPLY, 501, IF_NAME | IF_OVER, "H6", DO_FRESH_NAME, FINAL_GREET},
  {RUNG_HELO, SAW_REPLY, 501, IF_NAME | IF_LITERAL, "H7", DO_NEXT, FINAL_GREET},
  {RUNG_HELO, SAW_REPLY, 550, 0, "H7", DO_NEXT, FINAL_GREET},
  {RUNG_HELO, SAW_REPLY, 450, 0, "H8", DO_NEXT, FINAL_DEFER},
  {RUNG_HELO, SAW_REPLY, 421, 0, "H9", DO_NEXT, FINAL_DEFER},
  {RUNG_HELO, SAW_CLOSE, 0, 0, "E7", DO_FRESH_HELO, FINAL_DEFER},
  {RUNG_HELO, SAW_CLOSE, 0, IF_EHLO_501, "E33", DO_FRESH_NAME, FINAL_GREET},
  {RUNG_HELO, SAW_SILENCE, 0, 0, "H11", DO_NEXT, FINAL_DEFER},
  {RUNG_FIRST, SAW_REPLY, 450, IF_CARD, "H8", DO_NEXT, FINAL_DEFER},
  {RUNG_FIRST, SAW_REPLY, 450, IF_CARD | IF_HELO_FAILED, "H8", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_FIRST, SAW_REPLY, 450, IF_HELO_FAILED, "H10", DO_NEXT, FINAL_DEFER},
  {RUNG_FIRST, SAW_SILENCE, 0, IF_CARD, "H11", DO_NEXT, FINAL_DEFER},
  {RUNG_FIRST, SAW_UNFINISHED, 0, IF_CARD | IF_HELO_FAILED, "H11", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_RSET, SAW_REPLY, 421, IF_CARD | IF_HELO_FAILED, "H8", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_RSET, SAW_SILENCE, 0, IF_CARD | IF_HELO_FAILED, "H11", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_RSET, SAW_SILENCE, 0, IF_HELO_FAILED, "H11", DO_NEXT, FINAL_DEFER},
  {RUNG_NAME, SAW_REPLY, 450, IF_CARD | IF_HELO_FAILED, "H8", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_NAME, SAW_CLOSE, 0, IF_CARD, "H10", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 450, IF_4YZ | IF_CARD_NAME, "E27", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_EHLO, SAW_SILENCE, 0, IF_HUNG | IF_CARD_NAME, "E11", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_FIRST, SAW_REPLY, 502, IF_CARD, "H5", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_FIRST, SAW_REPLY, 502, 0, "H7", DO_NEXT, FINAL_GREET},
  {RUNG_EHLO, SAW_REPLY, 250, IF_TLS_OFFERED, "T9", DO_STARTTLS, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 250, IF_TLS_OFFERED | IF_OWN_NAME, "E31", DO_DROP_WORSE, FINAL_LOOP},
  {RUNG_NAME, SAW_REPLY, 250, IF_TLS_OFFERED, "T9", DO_STARTTLS, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, 0, "R6", DO_GO_ON, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, IF_TLS_NEEDED, "T1", DO_NEXT, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, IF_TLS_NEEDED | IF_TLS, "R6", DO_GO_ON, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, IF_TLS_NEEDED | IF_REQUIRETLS, "T1", DO_NEXT, FINAL_REQUIRETLS},
  {RUNG_READY, SAW_REPLY, 250, IF_TLS_HISTORY | IF_NO_CLEAR, "T2", DO_NEXT, FINAL_DEFER},
  {RUNG_READY, SAW_REPLY, 250, IF_TLS_HISTORY | IF_NO_CLEAR | IF_TLS, "R6", DO_GO_ON, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 220, 0, "T9", DO_HANDSHAKE, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 454, 0, "T3", DO_READY, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 454, IF_OVER, "T3", DO_CLEAR, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 454, IF_NO_CLEAR, "T3", DO_NEXT, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 421, IF_UNASKED, "E8", DO_NEXT, FINAL_DEFER},
  {RUNG_HELO, SAW_REPLY, 503, IF_TLS, "T12", DO_RSET, FINAL_GREET},
  {RUNG_STARTTLS, SAW_REPLY, 421, 0, "T3", DO_CLEAR, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 502, 0, "T4", DO_READY, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 502, IF_OVER, "T4", DO_CLEAR, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 502, IF_NO_CLEAR | IF_OVER, "T4", DO_NEXT, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_REPLY, 250, 0, "T5", DO_CLEAR, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_CLOSE, 0, 0, "T5", DO_CLEAR, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_CLOSE, 0, IF_NO_CLEAR, "T5", DO_NEXT, FINAL_DEFER},
  {RUNG_STARTTLS, SAW_EARLY, 0, 0, "T8", DO_NEXT, FINAL_DEFER},
  {RUNG_TLS, SAW_REPLY, 0, 0, "T9", DO_TLS_EHLO, FINAL_DEFER},
  {RUNG_TLS, SAW_REPLY, 0, IF_CERT_BAD, "T9", DO_TLS_EHLO, FINAL_DEFER},
  {RUNG_TLS, SAW_REPLY, 0, IF_CERT_BAD | IF_CERT_NEEDED, "T10", DO_NEXT, FINAL_DEFER},
  {RUNG_TLS, SAW_NO_TLS, 0, 0, "T6", DO_CLEAR, FINAL_DEFER},
  {RUNG_TLS, SAW_NO_TLS, 0, IF_NO_CLEAR, "T6", DO_NEXT, FINAL_DEFER},
  {RUNG_TLS, SAW_SILENCE, 0, 0, "T7", DO_CLEAR, FINAL_DEFER},
  {RUNG_TLS, SAW_SILENCE, 0, IF_NO_CLEAR, "T7", DO_NEXT, FINAL_DEFER},
  {RUNG_TLS, SAW_EARLY, 0, 0, "T8", DO_NEXT, FINAL_DEFER},
  {RUNG_TLS, SAW_LOCAL, 0, 0, "A8", DO_STOP, FINAL_DEFER},
  {RUNG_TLS_EHLO, SAW_REPLY, 250, IF_TLS, "T13", DO_READY, FINAL_DEFER},
  {RUNG_TLS_EHLO, SAW_REPLY, 502, IF_TLS | IF_NEEDED, "T12", DO_HELO, FINAL_GREET},
  {RUNG_TLS_EHLO, SAW_REPLY, 502, IF_TLS | IF_OVER, "T11", DO_CLEAR, FINAL_DEFER},
  {RUNG_TLS_EHLO, SAW_CLOSE, 0, IF_TLS, "T11", DO_CLEAR, FINAL_DEFER},
  {RUNG_TLS_EHLO, SAW_CLOSE, 0, IF_TLS | IF_NO_CLEAR, "T11", DO_NEXT, FINAL_DEFER},
  {RUNG_HELO, SAW_CLOSE, 0, IF_TLS, "T12", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 502, IF_NEEDED | IF_TLS_HISTORY, "T17", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_RESET, 0, IF_NEEDED | IF_TLS_HISTORY, "T17", DO_NEXT, FINAL_DEFER},
  {RUNG_AUTH, SAW_REPLY, 235, 0, "X24", DO_READY, FINAL_DEFER},
  {RUNG_AUTH, SAW_REPLY, 504, IF_MECHANISMS, "X24", DO_MECHANISM, FINAL_DEFER},
  {RUNG_AUTH, SAW_REPLY, 534, IF_MECHANISMS, "X24", DO_MECHANISM, FINAL_DEFER},
  {RUNG_AUTH, SAW_REPLY, 534, 0, "X24", DO_NEXT, FINAL_GREET},
  {RUNG_AUTH, SAW_REPLY, 535, IF_MECHANISMS, "X24", DO_NEXT, FINAL_GREET},
  {RUNG_AUTH, SAW_REPLY, 454, 0, "X24", DO_NEXT, FINAL_DEFER},
  {RUNG_AUTH, SAW_CLOSE, 0, 0, "X24", DO_NEXT, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 530, IF_TLS_CARD, "E28", DO_FRESH_TLS, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 530, 0, "E28", DO_NEXT, FINAL_GREET},
  {RUNG_MAIL, SAW_CLOSE, 0, IF_TLS_REFUSED | IF_BODY, "T4", DO_CLEAR, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 421, IF_REUSED, "D22", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_RESET, 0, IF_REUSED | IF_BODY, "D22", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 554, IF_BATCH | IF_SYNC, "X3", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 503, IF_BATCH, "X3", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 554, IF_BATCH | IF_SYNC, "X3", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_DATA, SAW_REPLY, 554, IF_BATCH | IF_SYNC, "X3", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 555, IF_UTF8 | IF_BODY, "X21", DO_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 501, IF_UTF8 | IF_MUST_UTF8, "X21", DO_NEXT, FINAL_UTF8},
  {RUNG_READY, SAW_REPLY, 250, IF_NO_UTF8, "X19", DO_NEXT, FINAL_UTF8},
  {RUNG_BANNER, SAW_BINARY, 0, 0, "A10", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_ECHO, 0, 0, "E23", DO_NEXT, FINAL_DEFER},
  {RUNG_EHLO, SAW_REPLY, 250, IF_OWN_NAME, "E31", DO_DROP_WORSE, FINAL_LOOP},
  {RUNG_BODY, SAW_SILENCE, 0, 0, "D11", DO_NEXT, FINAL_DEFER},
  {RUNG_BODY, SAW_REPLY, 552, 0, "D10", DO_SENDER, FINAL_DEFER},
  {RUNG_BODY, SAW_CLOSE, 0, 0, "D10", DO_NEXT, FINAL_DEFER},
  {RUNG_DOT, SAW_SILENCE, 0, IF_PIX, "D12", DO_LOST, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 503, IF_CARD, "H12", DO_FRESH_EHLO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 503, IF_HELO, "H12", DO_NEXT, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 530, IF_HELO, "H12", DO_NEXT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 550, IF_CARD | IF_ACCEPTED, "D5", DO_RECIPIENT, FINAL_DEFER},
  {RUNG_RSET, SAW_CLOSE, 0, IF_TLS, "T12", DO_NEXT, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 450, 0, "D1", DO_NEXT, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 550, IF_BODY | IF_SIZE | IF_DSN, "D2", DO_SENDER, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 501, 0, "D2", DO_SENDER, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 555, IF_BODY | IF_SIZE, "X15", DO_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 501, IF_DSN | IF_SIZE, "X22", DO_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 504, IF_SIZE, "X13", DO_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 452, IF_SIZE, "X11", DO_NEXT, FINAL_DEFER},
  {RUNG_MAIL, SAW_REPLY, 552, IF_SIZE, "X12", DO_NEXT, FINAL_SIZE},
  {RUNG_MAIL, SAW_CLOSE, 0, IF_BODY | IF_BATCH, "X16", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_RESET, 0, IF_BATCH, "X2", DO_FRESH_REDO, FINAL_DEFER},
  {RUNG_MAIL, SAW_CLOSE, 0, 0, "D3", DO_NEXT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 550, 0, "D5", DO_RECIPIENT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 450, IF_ACCEPTED, "D4", DO_RECIPIENT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 452, IF_ACCEPTED | IF_TOO_MANY, "X26", DO_AGAIN, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 552, IF_ACCEPTED | IF_TOO_MANY, "X26", DO_AGAIN, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 452, IF_TOO_MANY, "D4", DO_RECIPIENT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 452, IF_ACCEPTED, "D4", DO_RECIPIENT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 552, IF_ACCEPTED, "D5", DO_RECIPIENT, FINAL_DEFER},
  {RUNG_RCPT, SAW_REPLY, 421, IF_ACCEPTED, "D7", DO_NEXT, FINAL_DEFER},
  {RUNG_DATA, SAW_REPLY, 354, 0, "D8", DO_GO_ON, FINAL_DEFER},
  {RUNG_DATA, SAW_REPLY, 554, 0, "D8", DO_SENDER, FINAL_DEFER},
  {RUNG_DATA, SAW_REPLY, 451, 0, "D8", DO_NEXT, FINAL_DEFER},
  {RUNG_DATA, SAW_REPLY, 250, 0, "D9", DO_NEXT, FINAL_DEFER},
  {RUNG_BODY, SAW_LOCAL, 0, 0, "D23", DO_STOP, FINAL_DEFER},
  {RUNG_DOT, SAW_REPLY, 250, 0, "D18", DO_SENDER, FINAL_DEFER},
  {RUNG_DOT, SAW_REPLY, 451, 0, "D15", DO_NEXT, FINAL_DEFER},
  {RUNG_DOT, SAW_REPLY, 554, 0, "D16", DO_SENDER, FINAL_DEFER},
  {RUNG_DOT, SAW_REPLY, 354, 0, "D19", DO_LOST, FINAL_DEFER},
  {RUNG_DOT, SAW_CLOSE, 0, 0, "D14", DO_LOST, FINAL_DEFER},
  {RUNG_DOT, SAW_SILENCE, 0, 0, "D13", DO_LOST, FINAL_DEFER},
};

static void test_rows(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct ladder_row *r =
      ladder_find(cases[i].rung, cases[i].saw, cases[i].code, cases[i].facts);
    if (strcmp(r->number, cases[i].number) != 0 || r->then != cases[i].then ||
        r->final != cases[i].final || r->rung != cases[i].rung)
      fail_msg("case %zu (%s): row %s, do %d, final %d", i, cases[i].number, r->number, r->then,
               r->final);
  }
}

/* whatever is seen wherever, a row of that rung says what to do */
static void test_complete(void **state)
{
  static const unsigned int codes[] = {0,   200, 220, 250, 252, 354, 400, 421, 450, 452, 500,
                                       501, 502, 503, 504, 521, 530, 550, 552, 554, 555, 599};

  (void)state;
  for (int rung = 0; rung < RUNG_COUNT; rung++)
    for (int saw = 0; saw < SAW_COUNT; saw++)
      for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
        for (uint64_t f = 0; f < 1ULL << 40; f = f < 64 ? f + 1 : f * 3 + 1) {
          const struct ladder_row *r =
            ladder_find((enum ladder_rung)rung, (enum saw)saw, codes[c], f);
          if (r->rung != (enum ladder_rung)rung)
            fail_msg("rung %d saw %d code %u facts %lx: nothing", rung, saw, codes[c],
                     (unsigned long)f);
        }
}

/* no failure of a greeting is a verdict on the recipient, and no timeout ever bounces */
static void test_never_bounces(void **state)
{
  size_t n;
  const struct ladder_row *r = ladder_rows(&n);

  (void)state;
  for (size_t i = 0; i < n; i++) {
    if (r[i].final == FINAL_BOUNCE)
      fail_msg("row %s", r[i].number);
    if (r[i].rung < RUNG_READY && (r[i].then == DO_SENDER || r[i].then == DO_RECIPIENT))
      fail_msg("row %s", r[i].number);
    if ((r[i].saw & (1U << SAW_SILENCE)) && !(r[i].saw & (1U << SAW_REPLY)) &&
        r[i].final != FINAL_DEFER)
      fail_msg("row %s", r[i].number);
    if ((r[i].then == DO_REDO) != (r[i].without != 0) && r[i].then != DO_FRESH_REDO)
      fail_msg("row %s leaves nothing out", r[i].number);
    if (r[i].then == DO_FRESH_REDO && r[i].without == 0 && !(r[i].when & IF_REUSED))
      fail_msg("row %s would do the same again", r[i].number);
  }
}

/* where the card chose how we speak, a refusal is no verdict yet: LADDER.md 8 rule 7 */
static void test_cards_never_bounce(void **state)
{
  static const unsigned int codes[] = {500, 501, 502, 503, 504, 550, 552, 553, 554, 555, 556};
  static const struct {
    enum ladder_rung rung;
    uint64_t facts;
  } led[] = {
    {RUNG_FIRST, IF_CARD},     {RUNG_RSET, IF_CARD},      {RUNG_NAME, IF_CARD | IF_LITERAL},
    {RUNG_MAIL, IF_CARD | IF_HELO}, {RUNG_RCPT, IF_CARD | IF_HELO},
    {RUNG_FIRST, IF_CARD_NAME | IF_LITERAL}, {RUNG_RSET, IF_CARD_NAME | IF_LITERAL},
    {RUNG_HELO, IF_CARD_NAME | IF_LITERAL}, {RUNG_FRESH, IF_CARD_NAME | IF_LITERAL},
    {RUNG_TLS_EHLO, IF_CARD_NAME | IF_LITERAL}, {RUNG_MAIL, IF_CARD_NAME | IF_LITERAL},
    {RUNG_RCPT, IF_CARD_NAME | IF_LITERAL}, {RUNG_MAIL, IF_TLS_CARD}, {RUNG_RCPT, IF_TLS_CARD},
  };

  (void)state;
  for (size_t i = 0; i < sizeof led / sizeof *led; i++)
    for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
      const struct ladder_row *r = ladder_find(led[i].rung, SAW_REPLY, codes[c], led[i].facts);
      if (r->then != DO_FRESH_EHLO && r->then != DO_FRESH_TLS && r->then != DO_RSET)
        fail_msg("rung %d code %u: row %s", led[i].rung, codes[c], r->number);
    }
}

/* where nothing may go in clear, no row leads to HELO, to clear text or to the mail without TLS */
static void test_need_is_kept(void **state)
{
  static const unsigned int codes[] = {0, 250, 354, 421, 450, 454, 500, 501, 502, 503, 504, 550, 554};
  static const uint32_t why[] = {IF_TLS_NEEDED | IF_NO_CLEAR | IF_NEEDED,
                                 IF_TLS_HISTORY | IF_NO_CLEAR | IF_NEEDED};
  static const enum ladder_rung rungs[] = {RUNG_EHLO, RUNG_STARTTLS, RUNG_TLS, RUNG_TLS_EHLO,
                                           RUNG_READY};

  (void)state;
  for (size_t g = 0; g < sizeof rungs / sizeof *rungs; g++)
    for (int saw = 0; saw < SAW_COUNT; saw++)
      for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
        for (uint32_t f = 0; f < 1U << 10; f++) {
          const struct ladder_row *r =
            ladder_find(rungs[g], (enum saw)saw, codes[c], why[f & 1] | (f & ~1U));
          int is_ours = r->then == DO_NEXT || r->then == DO_STOP || r->then == DO_HANDSHAKE ||
                        r->then == DO_TLS_EHLO || r->then == DO_FRESH_NAME ||
                        (r->then == DO_HELO && rungs[g] == RUNG_TLS_EHLO) ||
                        ((r->then == DO_READY || r->then == DO_PLAIN) &&
                         (rungs[g] == RUNG_EHLO || rungs[g] == RUNG_TLS_EHLO));
          if (!is_ours)
            fail_msg("row %s: saw %d, code %u, facts %x: %d", r->number, saw, codes[c], f, r->then);
        }
}

static void test_words(void **state)
{
  static const struct {
    enum ladder_rung rung;
    enum saw saw;
    const char *text;
  } c[] = {{RUNG_EHLO, SAW_SILENCE, "timed out at EHLO"},
           {RUNG_EHLO, SAW_CLOSE, "connection closed after EHLO"},
           {RUNG_BANNER, SAW_CLOSE, "connection closed at the banner"},
           {RUNG_CONNECT, SAW_REFUSED, "refused at connect"},
           {RUNG_DOT, SAW_RESET, "connection reset after the end of the message"}};

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char out[LADDER_EVENT];
    ladder_event(out, c[i].rung, c[i].saw);
    assert_string_equal(out, c[i].text);
  }
  for (int rung = 0; rung < RUNG_COUNT; rung++)
    for (int saw = 0; saw < SAW_COUNT; saw++) {
      char out[LADDER_EVENT];
      ladder_event(out, (enum ladder_rung)rung, (enum saw)saw);
      assert_true(strlen(out) > 8);
    }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_complete),
                                     cmocka_unit_test(test_never_bounces),
                                     cmocka_unit_test(test_cards_never_bounce),
                                     cmocka_unit_test(test_need_is_kept), cmocka_unit_test(test_words)};

  return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
