/* report.c - what an attempt tells its spawner
 *
 * Runs in attempts. Reply texts are hostile bytes and stay so: who prints them escapes them. */
#include "deliver/report.h"

#include <string.h>

#include "common/chan.h"
#include "queue/notify.h"

static void bounded(struct wire_out *o, const char *s, size_t max)
{
  wire_bytes(o, s, strnlen(s, max));
}

static const char *const host_words[] = {
  [REPORT_ANSWERED] = "", [REPORT_LOST] = "lost", [REPORT_UNREACHED] = "unreached",
  [REPORT_OURS] = "ours"};

static const char *how_word(const struct report_result *r)
{
  if (r->is_uncharged)
    return "uncharged";
  return r->verdict == V_OK ? notify_word(r->is_relayed ? NOTIFY_RELAYED : NOTIFY_NOTHING)
                            : host_words[r->host];
}

static void add_result(struct wire_out *o, const struct report_result *r)
{
  wire_num(o, r->recipient);
  wire_str(o, verdict_word(r->verdict));
  wire_num(o, r->verdict == V_TEMP ? r->until : 0);
  bounded(o, r->status, 15);
  bounded(o, r->text, REPORT_TEXT);
  wire_str(o, how_word(r));
}

int report_said(int sock, const struct report_result *r)
{
  struct wire_out o;

  wire_start(&o, WIRE_SAID);
  add_result(&o, r);
  return chan_send_blocking(sock, &o, -1);
}

int report_step(int sock, const struct report_step *s)
{
  struct wire_out o;

  wire_start(&o, WIRE_STEPPED);
  bounded(&o, s->host, 255);
  bounded(&o, s->address, 63);
  bounded(&o, s->rung, 31);
  bounded(&o, s->event, 127);
  bounded(&o, s->reply, REPORT_TEXT);
  return chan_send_blocking(sock, &o, -1);
}

static int news(int sock, enum wire_type type, const struct peers_news *n, uint64_t until)
{
  char address[IP_TEXT], fact[PEERS_NEWS_FACT], evidence[PEERS_NEWS_EVIDENCE];
  struct wire_out o;

  ip_format(address, &n->ip);
  peers_news_format(n, fact, evidence);
  wire_start(&o, type);
  wire_str(&o, address);
  wire_num(&o, n->port);
  wire_str(&o, fact);
  wire_str(&o, evidence);
  if (type == WIRE_KNEW)
    wire_num(&o, until);
  return chan_send_blocking(sock, &o, -1);
}

int report_learned(int sock, const struct peers_news *n)
{
  return news(sock, WIRE_LEARNED, n, 0);
}

int report_unlearned(int sock, const struct peers_news *n)
{
  return news(sock, WIRE_UNLEARNED, n, 0);
}

int report_knew(int sock, const struct peers_news *n, uint64_t until)
{
  return news(sock, WIRE_KNEW, n, until);
}

int report_greeted(int sock, const struct offers_card *g)
{
  char address[IP_TEXT];
  struct wire_out o;

  ip_format(address, &g->ip);
  wire_start(&o, WIRE_GREETED);
  wire_str(&o, address);
  wire_num(&o, g->port);
  bounded(&o, g->host, OFFERS_HOST - 1);
  wire_str(&o, offers_rung_word((enum offers_rung)g->now.rung));
  wire_num(&o, g->now.verbs);
  wire_num(&o, g->now.banner);
  return chan_send_blocking(sock, &o, -1);
}

int report_trying(int sock, const struct peers_news *n)
{
  return news(sock, WIRE_TRYING, n, 0);
}

int report_spoken(int sock, const stralloc *lines)
{
  struct wire_out o;

  wire_start(&o, WIRE_SPOKEN);
  wire_bytes(&o, lines->s, lines->len);
  return chan_send_blocking(sock, &o, -1);
}

static void add_last(struct wire_out *o, const struct report_last *last)
{
  wire_bytes(o, last->lines->len ? last->lines->s : "", last->lines->len);
  if (last->result)
    add_result(o, last->result);
}

int report_ended(int sock, const struct report_last *last)
{
  struct wire_out o;

  wire_start(&o, WIRE_ENDED);
  add_last(&o, last);
  return chan_send_blocking(sock, &o, -1);
}

int report_stays(int sock, const char *peer, uint64_t ms, const struct report_last *last)
{
  struct wire_out o;

  wire_start(&o, WIRE_STAYS);
  wire_str(&o, peer);
  wire_num(&o, ms);
  add_last(&o, last);
  return chan_send_blocking(sock, &o, -1);
}

int report_left(int sock)
{
  struct wire_out o;

  wire_start(&o, WIRE_LEFT);
  return chan_send_blocking(sock, &o, -1);
}

int report_born(int sock, int process)
{
  struct wire_out o;

  wire_start(&o, WIRE_BORN);
  return chan_send_blocking(sock, &o, process);
}

int report_born_packet(stralloc *packet)
{
  struct wire_out o;

  wire_start(&o, WIRE_BORN);
  return wire_encode(&o, packet);
}
