/* received.c - the Received field we put in front of a message. Pure.
 *
 *   Received: from sub2.example.org (HELO sub2) ([192.0.2.1])
 *           by mx.example.org (Heloise) with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id ...
 *           for <user@example.org>; Sat, 31 Jan 2026 09:00:00 +0000
 *
 * helo, said and rcpt come from the client. */
#include "smtpd/received.h"

#include <string.h>

#include "common/idna.h"
#include "common/units.h"

#define NAME_MAX_BYTES 255

/* a name or comment as it may stand in the field: other bytes become "?" */
static int cat_clean(stralloc *out, const char *s, const char *allowed)
{
  size_t n = strnlen(s, NAME_MAX_BYTES), from = out->len;

  if (!stralloc_catb(out, s, n))
    return 0;
  for (size_t i = from; i < out->len; i++) {
    char c = out->s[i];
    int is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_alnum && (c == 0 || !strchr(allowed, c)))
      out->s[i] = '?';
  }
  return 1;
}

static int cat_from(stralloc *out, const struct received *r)
{
  char ip[IP_TEXT];

  ip_format(ip, r->ip);
  return stralloc_cats(out, "Received: from ") && cat_clean(out, r->helo, "-._:[]") &&
         (!*r->said || (stralloc_cats(out, " (HELO ") && cat_clean(out, r->said, " -._:[]/@=+,*~") &&
                        stralloc_cats(out, ")"))) &&
         stralloc_cats(out, " (") &&
         (!r->host || (cat_clean(out, r->host, "-._") && stralloc_cats(out, " "))) &&
         stralloc_cats(out, r->ip->family == 6 ? "[IPv6:" : "[") && stralloc_cats(out, ip) &&
         stralloc_cats(out, "])\r\n");
}

static int cat_by(stralloc *out, const struct received *r)
{
  return (!r->login || !*r->login || (stralloc_cats(out, "\t(login ") && cat_clean(out, r->login, "-._@+=") &&
                         stralloc_cats(out, ")\r\n"))) &&
         stralloc_cats(out, "\tby ") && stralloc_cats(out, r->hostname) &&
         stralloc_cats(out, " (Heloise) with ") && stralloc_cats(out, r->protocol) &&
         (!r->tls || (stralloc_cats(out, " (") && cat_clean(out, r->tls->version, ".-_") &&
                      stralloc_cats(out, " ") && cat_clean(out, r->tls->cipher, ".-_") &&
                      stralloc_cats(out, ")"))) &&
         stralloc_cats(out, " id ") && stralloc_cats(out, r->id);
}

/* the recipient; with its domain in A-labels where that alone is not ASCII, so that the field
 * is no reason for SMTPUTF8 on the way on */
static int cat_for(stralloc *out, const char *rcpt)
{
  const char *at = strrchr(rcpt, '@');
  char ascii[IDNA_MAX + 1];
  size_t local = at ? (size_t)(at + 1 - rcpt) : 0;

  if (!at || idna_is_needed(rcpt, local) || idna_ascii(at + 1, strlen(at + 1), ascii) == 0)
    return stralloc_cats(out, rcpt);
  return stralloc_catb(out, rcpt, local) && stralloc_cats(out, ascii);
}

int received_make(stralloc *out, const struct received *r)
{
  if (!stralloc_copys(out, "") || !cat_from(out, r) || !cat_by(out, r))
    return -1;
  if (r->rcpt && (!stralloc_cats(out, "\r\n\tfor <") || !cat_for(out, r->rcpt) ||
                  !stralloc_cats(out, ">")))
    return -1;
  if (!stralloc_cats(out, "; ") || units_format_date(out, r->time) != 0)
    return -1;
  return stralloc_cats(out, "\r\n") ? 0 : -1;
}
