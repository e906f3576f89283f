/* Stopping by a signal: the first one lets the current step end, the second ends the program. */
#ifndef ITO_DDPM_STOP_H
#define ITO_DDPM_STOP_H

/* From now on SIGINT, SIGTERM and SIGHUP are noted. */
void stop_on_signals(void);
/* The signal that came, or 0. */
int stop_signal(void);

#endif
