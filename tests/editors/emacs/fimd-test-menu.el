;;; fimd-test-menu.el --- The completion menu, by whatever shows it  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; What fimd would write, in the menus of corfu, company and `completion-preview-mode': over our own
;; connection, alone and beside clangd in eglot, and over eglot with fimd.  The packages are real;
;; only what corfu draws in frames, which a terminal has not, is taken as text.

;;; Code:

(require 'fimd-test-server)
(require 'completion-preview)
(require 'corfu nil t)
(require 'company nil t)

(defvar corfu--index)
(defvar corfu--candidates)
(declare-function corfu-next "corfu")

(defconst fimd-test-ret (string-replace "|" " ret|" fimd-test-c)
  "C, with a word begun that fimd and clangd would both go on with.")

(defvar fimd-test-lines nil "What corfu shows, nil where it shows nothing.")
(defvar fimd-test-seen nil "What it showed at <f5>, and whether ghost text was kept away.")

(defun fimd-test-look ()
  "Remember what is seen now, and go down to fimd's text."
  (interactive)
  (setq fimd-test-seen (list fimd-test-lines (fimd--inhibited-p)))
  (let ((left (length fimd-test-lines)))
    (while (and (> left 0)
                (not (get-text-property 0 'fimd (nth corfu--index corfu--candidates))))
      (corfu-next)
      (setq left (1- left)))))

(with-eval-after-load 'corfu
  (cl-defmethod corfu--popup-support-p (&context (noninteractive (eql t)))
    "What follows shows them."
    t)
  (cl-defmethod corfu--popup-show (_pos _off _width lines &context (noninteractive (eql t))
                                        &optional _curr _lo _bar)
    "Keep the LINES."
    (setq fimd-test-lines (mapcar #'substring-no-properties lines)))
  (cl-defmethod corfu--popup-hide (&context (noninteractive (eql t)))
    "Nothing is shown."
    (setq fimd-test-lines nil)))

;;;; The three places of a source

(defmacro fimd-test-over-own (name text &rest body)
  "Run BODY in `fimd-mode' in a file NAME with TEXT; fimd is in the menu."
  (declare (indent 2))
  `(let ((fimd-in-menu t)
         (fimd-automatic nil))
     (fimd-test-with ,name ,text
       (fimd-test-until "a document" fimd-document)
       ,@body)))

(defmacro fimd-test-beside-clangd (name text &rest body)
  "Run BODY in `fimd-mode' in a file NAME with TEXT that eglot has given to clangd."
  (declare (indent 2))
  `(fimd-test-over-own ,name ,text
     (let* ((eglot-server-programs '((c-mode . ("clangd"))))
            (eglot-extend-to-xref nil)
            (server (fimd-test-eglot)))
       (unwind-protect (progn ,@body)
         (eglot-shutdown server)))))

(defvar fimd-test-places
  '((own . (lambda (name text run) (fimd-test-over-own name text (funcall run))))
    (clangd . (lambda (name text run) (fimd-test-beside-clangd name text (funcall run))))
    (eglot . (lambda (name text run) (fimd-test-with-fimd-as-server name text
                                       (fimd-mode 1)
                                       ;; The model may still be on its way.
                                       (fimd-test-until "a model"
                                         (equal "ready" (fimd-test-model)))
                                       (funcall run)))))
  "How to run a function where fimd is in the menu.")

(defun fimd-test-model ()
  "The state of the model of the buffer's daemon."
  (plist-get (plist-get (fimd-test-ask :fimd/status nil) :model) :state))

(defun fimd-test-in-menu (place name run)
  "Call RUN with point behind \"ret\" in the file NAME at PLACE; nothing may go wrong."
  (when (and (eq place 'clangd) (not (executable-find "clangd")))
    (ert-skip "there is no clangd"))
  (let ((mark (length (fimd-test-messages))))
    (funcall (eval (alist-get place fimd-test-places) t)
             (format "m/%s-%s.c" name place) fimd-test-ret run)
    (should-not (string-match-p "[Ee]rror\\|[Ww]rong" (substring (fimd-test-messages) mark)))))

(defun fimd-test-line ()
  "The line of point."
  (buffer-substring-no-properties (pos-bol) (pos-eol)))

(defun fimd-test-after (line)
  "Whether the line is LINE, with the lines around it as they were."
  (should (equal (fimd-test-line) line))
  (should (equal (string-replace line "@" (buffer-string))
                 (string-replace "  if (r->data == NULL) ret" "@"
                                 (string-replace "|" "" fimd-test-ret)))))

;;;; Without a menu

(defun fimd-test-ours ()
  "The candidate that is fimd's, waited for."
  (let ((text (car (fimd-test-offer))))
    (should (string-prefix-p "return" text))
    (substring-no-properties text)))

(ert-deftest fimd-60-own-alone ()
  (fimd-test-in-menu
   'own "plain"
   (lambda ()
     (let ((text (fimd-test-ours)))
       (completion-at-point)
       (fimd-test-after (concat "  if (r->data == NULL) " text))))))

(ert-deftest fimd-61-off-by-default ()
  (let ((fimd-automatic nil))
    (fimd-test-with "m/off.c" fimd-test-ret
      (should-not (memq 'fimd-completion-at-point completion-at-point-functions))
      (should-not (completion-at-point))
      (fimd-test-after "  if (r->data == NULL) ret"))))

(ert-deftest fimd-62-both-sources ()
  "One menu has what fimd and what clangd says; each is taken as its own would be."
  (fimd-test-in-menu
   'clangd "both"
   (lambda ()
     (let* ((all (fimd-test-until "clangd's words"
                   (let ((all (mapcar #'substring-no-properties (fimd-test-offer))))
                     (and (cdr all) all))))
            (text (fimd-test-ours)))
       (should (equal text (car all)))
       ;; clangd has the keyword, or a snippet for it.
       (should (cl-find-if (lambda (candidate) (string-match-p "\\`return" candidate)) (cdr all)))
       ;; What is only clangd's is still completed by it.
       (delete-char -3)
       (insert "ring_ini")
       (should (completion-at-point))
       (should (looking-back "ring_init(?.*" (pos-bol)))))))

(ert-deftest fimd-63-others-keep-their-ways ()
  "Predicates, annotations and exit functions of another source see only its own."
  (fimd-test-over-own "m/ways.c" fimd-test-ret
    (let* ((seen nil)
           (done nil)
           (own (fimd-test-ours))
           (source (lambda ()
                     (list (- (point) 3) (point) '("retry" "retain" "reticent")
                           :predicate (lambda (word)
                                        (push word seen)
                                        (not (equal word "reticent")))
                           :annotation-function (lambda (word) (concat " of " word))
                           :exit-function (lambda (word status)
                                            (setq done (list word status)))
                           :exclusive 'yes)))
           (completion-at-point-functions (list #'fimd-completion-at-point source))
           (all (mapcar #'substring-no-properties (fimd-test-offer)))
           (properties (nthcdr 4 (run-hook-wrapped 'completion-at-point-functions
                                                   #'completion--capf-wrapper 'all)))
           (annotate (plist-get properties :annotation-function))
           (exit (plist-get properties :exit-function)))
      (should (equal all (list own "retry" "retain")))
      (should-not (member own seen))
      (should (equal (funcall annotate "retry") " of retry"))
      (should (equal (funcall annotate (propertize own 'fimd "")) " fimd"))
      (should (eq 'yes (plist-get properties :exclusive)))
      (funcall exit "retry" 'finished)
      (should (equal done '("retry" finished))))))

(ert-deftest fimd-64-text-right-of-point ()
  "What the text takes the place of is gone after it was taken, and only that."
  (fimd-test-over-own "m/right.c" (string-replace "NULL)|" "ma|)" fimd-test-c)
    (cl-letf (((symbol-function 'fimd-menu--request)
               (lambda (&rest _)
                 (let ((here (fimd-document-position (point) "utf-32")))
                   (list :items
                         (vector
                          (list :label "x"
                                :textEdit
                                (list :newText "malloc(1)) return false;"
                                      :range (list :start (fimd-document-position (- (point) 2)
                                                                                  "utf-32")
                                                   :end (list :line (plist-get here :line)
                                                              :character
                                                              (1+ (plist-get here
                                                                             :character)))))
                                )))))))
      (completion-at-point)
      (should (equal (fimd-test-line) "  if (r->data == malloc(1)) return false;")))))

(ert-deftest fimd-65-in-a-word ()
  "In the middle of a word the menu is that of the other source."
  (fimd-test-over-own "m/word.c" fimd-test-ret
    (let ((completion-at-point-functions
           (list #'fimd-completion-at-point
                 (lambda () (list (- (point) 1) (+ (point) 2) '("retry"))))))
      (backward-char 2)
      (should-not (fimd-completion-at-point))
      (should (equal (fimd-test-offer) '("retry"))))))

(ert-deftest fimd-66-completion-preview ()
  (fimd-test-in-menu
   'own "preview"
   (lambda ()
     (completion-preview-mode 1)
     (delete-char -1)
     (fimd-test-type "t")
     (should completion-preview-active-mode)
     (should (string-prefix-p "urn" (overlay-get completion-preview--overlay 'after-string)))
     (let ((shown (substring-no-properties
                   (overlay-get completion-preview--overlay 'after-string))))
       (fimd-test-keys "DEL")
       ;; In one run of the command loop, whose start would end the preview.
       (fimd-test-keys "t TAB")
       (fimd-test-after (concat "  if (r->data == NULL) ret" shown))))))

;;;; corfu

(defun fimd-test-corfu (place)
  "Show, choose and take fimd's text with corfu at PLACE."
  (unless (featurep 'corfu)
    (ert-skip "corfu is not there; see tests/editors/install.sh"))
  (fimd-test-in-menu
   place "corfu"
   (lambda ()
     (corfu-mode 1)
     (setq-local corfu-preselect 'first
                 corfu-on-exact-match nil
                 corfu-continue-commands (cons 'fimd-test-look corfu-continue-commands))
     (setq fimd-test-seen nil)
     (local-set-key (kbd "<f5>") #'fimd-test-look)
     (let ((text (fimd-test-ours))
           (more (not (eq place 'eglot))))
       (when (eq place 'clangd)
         (fimd-test-until "clangd's words" (cdr (fimd-test-offer))))
       ;; A candidate that is the only one is taken without a menu.
       (when (eq place 'own)
         (add-hook 'completion-at-point-functions
                   (lambda () (list (- (point) 3) (point) '("retry" "retain"))) 90 t))
       ;; In one run of the command loop: its start and end would close the menu.
       (fimd-test-keys (if more "M-TAB <f5> RET" "M-TAB"))
       (when more
         (pcase-let ((`(,lines ,inhibited) fimd-test-seen))
           (should (cdr lines))
           (should (cl-find-if (lambda (line) (string-match-p (concat (regexp-quote text) " +fimd")
                                                              line))
                               lines))
           (should inhibited)))
       (fimd-test-after (concat "  if (r->data == NULL) " text))
       (should-not completion-in-region-mode)
       (should-not fimd-test-lines)))))

(ert-deftest fimd-70-corfu-own () (fimd-test-corfu 'own))
(ert-deftest fimd-71-corfu-clangd () (fimd-test-corfu 'clangd))
(ert-deftest fimd-72-corfu-eglot () (fimd-test-corfu 'eglot))

(defun fimd-test-corfu-auto (place)
  "Type with a menu that opens by itself at PLACE; no key may be lost or taken for the menu."
  (unless (featurep 'corfu)
    (ert-skip "corfu is not there; see tests/editors/install.sh"))
  (fimd-test-in-menu
   place "auto"
   (lambda ()
     (setq-local corfu-auto t
                 corfu-auto-delay 0
                 corfu-auto-prefix 1
                 fimd-automatic t)
     (corfu-mode 1)
     (let ((opened 0)
           (text "urn r->capacity == capacity;"))
       (seq-do (lambda (char)
                 (execute-kbd-macro (vector char))
                 (when completion-in-region-mode
                   (cl-incf opened))
                 (accept-process-output nil 0.01))
               text)
       (fimd-test-settle)
       (fimd-test-after (concat "  if (r->data == NULL) ret" text))
       (should (> opened 0))))))

(ert-deftest fimd-76-corfu-auto-own () (fimd-test-corfu-auto 'own))
(ert-deftest fimd-77-corfu-auto-clangd () (fimd-test-corfu-auto 'clangd))
(ert-deftest fimd-78-corfu-auto-eglot () (fimd-test-corfu-auto 'eglot))

;;;; company

(defun fimd-test-company (place)
  "Show, choose and take fimd's text with company at PLACE."
  (unless (featurep 'company)
    (ert-skip "company is not there; see tests/editors/install.sh"))
  (fimd-test-in-menu
   place "company"
   (lambda ()
     (setq-local company-backends '(company-capf)
                 company-idle-delay nil
                 company-frontends nil)
     (company-mode 1)
     (let ((text (fimd-test-ours)))
       (company-manual-begin)
       (should company-candidates)
       (should (equal text (substring-no-properties (car company-candidates))))
       (should (equal " fimd" (string-trim-right
                               (or (company-call-backend 'annotation (car company-candidates))
                                   ""))))
       (should (fimd--inhibited-p))
       (company-complete-selection)
       (fimd-test-after (concat "  if (r->data == NULL) " text))
       (should-not company-candidates)))))

(ert-deftest fimd-73-company-own () (fimd-test-company 'own))
(ert-deftest fimd-74-company-clangd () (fimd-test-company 'clangd))
(ert-deftest fimd-75-company-eglot () (fimd-test-company 'eglot))

(provide 'fimd-test-menu)
;;; fimd-test-menu.el ends here
