/* Start of a Cortex-M4: the first two words of its memory are the stack and where to begin. */
extern unsigned stack_top;
void _start(void);
void reset(void)
{
    /* Gives access to the unit for single precision. */
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20;
    _start();
}
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {&stack_top, (const void *)reset};
