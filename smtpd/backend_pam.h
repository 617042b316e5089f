/* backend_pam.h - logins and passwords that the system's PAM knows, through heloise-pam */
#ifndef SMTPD_BACKEND_PAM_H
#define SMTPD_BACKEND_PAM_H

/* the channel to heloise-pam: the first or one that replaces it. 0, or -1 with errno */
int backend_pam_channel(int fd);

#endif
