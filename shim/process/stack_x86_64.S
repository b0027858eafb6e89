/* stack_call(top, function, argument): calls the function on another stack. */
	.text
	.globl	stack_call
	.hidden	stack_call
	.type	stack_call, @function
	.balign	16
stack_call:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	movq	%rdi, %rsp
	movq	%rdx, %rdi
	call	*%rsi
	movq	%rbp, %rsp
	popq	%rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size	stack_call, .-stack_call

	.section .note.GNU-stack, "", @progbits
